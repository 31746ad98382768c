"""One run on the server's side: stages of federated rounds, scores, files."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from uuid import uuid4

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import Grid

from fedvlm_flwr.config import Scalar
from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.evaluation.scoring import Scores
from fedvlm_flwr.evaluation.statistics import over_clients
from fedvlm_flwr.models import model_parts, prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import require_part
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.models.vocabulary import unknown_share
from fedvlm_flwr.process import Process
from fedvlm_flwr.report.curve import draw_curve
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import ADAPTER, PREDICTIONS, RunFolder
from fedvlm_flwr.wire import Arrays, pack, unpack
from server_app.callbacks.checkpoint import Checkpoint, Saved, read_checkpoint
from server_app.callbacks.cost import CostMeter
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.numbered import Numbered
from server_app.callbacks.progress import Progress
from server_app.callbacks.tensorboard import TensorBoard
from server_app.resume import kept_in, record_start, require_same_config
from strategies import load_strategy
from strategies.base import Loop
from strategies.core.events import Callbacks, Evaluation

WORD_SAMPLE = 500  # training answers that are looked at
UNKNOWN_WORDS = 0.05  # a larger share of their words without a token is worth a warning


class Run:
    """A configured run that writes into its folder, from the start or from its checkpoint."""

    def __init__(
        self,
        process: Process,
        folder: RunFolder,
        progress: Progress,
        run_config: Mapping[str, Scalar],
    ) -> None:
        self._process = process
        self._config = config = process.compose(run_config)
        self._folder = folder
        self._progress = progress
        self._progress.rounds = config.all_rounds
        self._cost = CostMeter(folder, process)
        extra = [TensorBoard(folder)] if config.tensorboard else []
        self._metrics = MetricsWriter(folder)
        self._watchers = Callbacks([self._cost, self._metrics, *extra, progress])
        self._saved: Saved | None = None
        if config.resume:
            require_same_config(config, folder)
            self._saved = read_checkpoint(folder)
        else:
            record_start(config, folder, run_config)
        self._id = self._saved.run if self._saved else uuid4().hex

    def execute(self, grid: Grid) -> None:
        """Check what can be checked, run the stages, score, save.

        Raises:
            FedVLMError: see `server_app.app.main`.
        """
        config = self._config
        if not (self._saved and self._saved.finished):
            self._recall()
            load_strategy(config.algorithm, self._loop(0))  # refuses its parameters before any work
            data = self._process.data(config)
            self._process.test_shares(config)  # refuses what cannot be dealt to the clients
            self._require_parts()
            self._progress.tell("start", what=self._describe() + self._left_out(data.left_out))
            self._prepare()
            model = self._process.model(config, choose_device(config.engine.device))
            self._warn_of_words(model, data)
            evaluator = Evaluator(config, model, self._process, config.eval.threads)
            with kept_in(self._folder, self._id):
                self._work(grid, model, evaluator)
        self._progress.tell("end", table=result_table(self._folder), folder=str(self._folder.path))

    def _warn_of_words(self, model: Resident, data: FederatedData) -> None:
        """Say so where the model has no words for what the clients shall teach it."""
        rows = range(0, len(data.train), max(1, len(data.train) // WORD_SAMPLE))
        answers = [example.answer for example in examples(data.train, data.root, rows)]
        share = unknown_share(model.vlm, answers)
        if share > UNKNOWN_WORDS:
            self._progress.tell(
                "warning",
                message=f"{self._config.model.name} has no token for {share:.0%} of the words in "
                "the training answers and cannot learn to say them; choose a model that spells any "
                "text (docs/models.md).",
            )

    def _recall(self) -> None:
        """Put the folder's files back to where the checkpoint was made."""
        if self._config.resume:
            saved = self._saved
            before = self._config.rounds_before(saved.stage) if saved else 0
            number = before + saved.state.number if saved else 0
            self._watchers.recall(self._saved.memory if self._saved else {})
            self._progress.tell("resumed", round=number, folder=str(self._folder.path))

    def _work(self, grid: Grid, model: Resident, evaluator: Evaluator) -> None:
        config, saved = self._config, self._saved
        self._require_passed_on(model)
        settled = saved.settled if saved else Arrays()
        for stage in range(saved.stage if saved else 0, len(config.tuning.stages)):
            checkpoint = Checkpoint(self._folder, self._id, stage, settled, self._watchers)
            settled = settled | self._stage(stage, grid, (model, evaluator), settled, checkpoint)
        self._controls(evaluator, has_model=settled.keys() == model.first.keys())
        if settled:
            save_adapter(model.vlm, config.tuning, settled, self._folder.path / ADAPTER)
        self._cost.write()
        draw_curve(self._folder)
        checkpoint.finish()

    def _require_parts(self) -> None:
        """Refuse a tuning that the model has not the parts for, before anything is made.

        Raises:
            ModelError: names the part.
        """
        parts = model_parts(self._config.model)
        for part in self._config.tuning.modes:
            require_part(parts, part)

    def _require_passed_on(self, model: Resident) -> None:
        """Refuse stages of which the later ones would never see what the earlier ones came to.

        Raises:
            ConfigError: the algorithm leaves trained tensors with the clients.
        """
        algorithm, stages = self._config.algorithm, len(self._config.tuning.stages)
        for stage, trained in enumerate(model.initial):
            shared = load_strategy(algorithm, self._loop(stage)).shared(trained)
            if stages > 1 and len(shared) < len(trained):
                raise ConfigError(
                    f"algorithm={algorithm.name} leaves what is trained with the clients, but "
                    f"tuning={self._config.tuning.name} has {stages} stages, each of which starts "
                    "from the shared result of the one before; choose a tuning with one stage."
                )

    def _left_out(self, records: int) -> str:
        """Words on bad records that the dataset allows; their number is in the metrics too."""
        if not records:
            return ""
        if self._saved is None:
            self._metrics.write(0, "server", "train", {"records_left_out": records})
        return f"; {records} bad records left out"

    def _describe(self) -> str:
        c = self._config
        return (
            f"{c.algorithm.name} on {c.dataset.name} ({c.partition.name}), "
            f"{c.num_clients} clients, {self._rounds()} rounds, "
            f"{c.model.name} with {c.tuning.name}, seed {c.seed}"
        )

    def _rounds(self) -> str:
        stages = range(len(self._config.tuning.stages))
        return " + ".join(str(self._config.rounds_of(stage)) for stage in stages)

    def _prepare(self) -> None:
        began, what = time.monotonic(), self._config.model.name
        stepped = False

        def step(done: int, total: int, _loss: float) -> None:
            nonlocal stepped
            if not stepped:
                self._progress.step("prepare", 0, total, what=what)
            stepped = True
            self._progress.step("prepare", done, total, what=what)

        prepare_model(self._config.model, step)
        if stepped:
            self._progress.tell("prepared", what=what, seconds=time.monotonic() - began)

    def _loop(self, stage: int, settled: Arrays | None = None) -> Loop:
        c, saved = self._config, self._saved
        return Loop(
            num_clients=c.num_clients,
            cohort_size=c.cohort_size,
            min_replies=c.replies_needed,
            seed=c.seed,
            stage=stage,
            wire_dtype=c.wire.dtype,
            max_update_norm=c.max_update_norm,
            share=c.tuning.stages[stage].shared,
            settled=settled or {},
            run=self._id,
            resume=saved.state if saved and saved.stage == stage else None,
            full_scores=lambda number: self._due(stage, number),
        )

    def _due(self, stage: int, number: int) -> bool | None:
        """Whether a round's scores are on the whole test set; None: the round is not scored.

        What a later stage starts from has its scores as the end of the stage before.
        """
        if number == 0:
            return True if stage == 0 else None
        if number == self._config.rounds_of(stage):
            return True
        return None if number % self._config.eval.every else False

    def _stage(
        self,
        stage: int,
        grid: Grid,
        scored: tuple[Resident, Evaluator],
        settled: Arrays,
        checkpoint: Checkpoint,
    ) -> Arrays:
        config, rounds = self._config, self._config.rounds_of(stage)
        told = Numbered(self._watchers, config.rounds_before(stage))
        watchers = Callbacks([told, checkpoint])
        strategy = load_strategy(
            config.algorithm, replace(self._loop(stage, settled), callback=watchers)
        )
        model, evaluator = scored
        trained = {n: settled.get(n, values) for n, values in model.initial[stage].items()}

        def evaluate(number: int, record: ArrayRecord) -> MetricRecord | None:
            full = self._due(stage, number)
            if full is None:
                return None
            model.place(stage, unpack(record), settled)
            return self._evaluate(number, stage, evaluator, full)

        result = strategy.start(
            grid=grid,
            initial_arrays=pack(trained, config.wire.dtype),
            num_rounds=rounds,
            timeout=config.round_timeout,
            evaluate_fn=evaluate,
        )
        arrays = unpack(result.arrays)
        if arrays.keys() == trained.keys():  # the last round's, whoever has used the model since
            model.place(stage, arrays, settled)
        return arrays

    def _evaluate(self, number: int, stage: int, evaluator: Evaluator, full: bool) -> MetricRecord:
        what = "test set" if full else "test sample"
        found = evaluator.run(
            full, lambda done, total: self._progress.step("evaluating", done, total, what=what)
        )
        of_run = self._config.rounds_before(stage) + number
        lines = (json.dumps({"round": of_run, **record}) + "\n" for record in found.predictions)
        self._folder.write(PREDICTIONS, "".join(lines))
        spread = over_clients(found.shares.values())
        scores = {task: values | spread.get(task, {}) for task, values in found.scores.items()}
        told = Evaluation(stage, of_run, "server", what, scores, found.seconds, full)
        self._watchers.on_evaluated(told)
        self._metrics.write_shares(of_run, found.shares, stage)
        flat = {
            f"{task}.{key}": value
            for task, values in scores.items()
            for key, value in values.items()
        }
        return MetricRecord(cast(dict[str, int | float | list[int] | list[float]], flat))

    def _controls(self, evaluator: Evaluator, has_model: bool) -> None:
        """What a model scores that is blind to the picture, by three ways of being blind."""
        rounds, stage = self._config.all_rounds, len(self._config.tuning.stages) - 1
        controls: dict[str, tuple[Scores, float]] = {
            "majority": (evaluator.majority(), 0.0),
            "question": (evaluator.question_majority(), 0.0),
        }
        if self._config.eval.shuffled and has_model:
            controls["shuffled"] = evaluator.exchanged(
                lambda done, total: self._progress.step(
                    "evaluating", done, total, what="exchanged pictures"
                )
            )
        for name, (scores, seconds) in controls.items():
            what = f"control: {name}"
            found = Evaluation(stage, rounds, "server", what, scores, seconds, control=name)
            self._watchers.on_evaluated(found)
