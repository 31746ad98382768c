"""One run on the server's side: stages of federated rounds, scores, files."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from uuid import uuid4

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import Grid

from fedvlm_flwr.config import Config, Scalar
from fedvlm_flwr.data.clients import client_shares, federated_data
from fedvlm_flwr.evaluation import Evaluator, Scores
from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import set_trainable, write
from fedvlm_flwr.models.resident import Resident, choose_device, resident
from fedvlm_flwr.report.curve import draw_curve
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import ADAPTER, PREDICTIONS, RunFolder
from fedvlm_flwr.wire import Arrays, pack, unpack
from server_app.callbacks.checkpoint import Checkpoint, Saved, read_checkpoint
from server_app.callbacks.cost import CostMeter
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.progress import Progress
from server_app.callbacks.tensorboard import TensorBoard
from server_app.resume import kept_in, record_start, require_same_config
from strategies import load_strategy
from strategies.base import Loop
from strategies.core.events import Callbacks, Evaluation


class Run:
    """A configured run that writes into its folder, from the start or from its checkpoint."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        progress: Progress,
        run_config: Mapping[str, Scalar],
    ) -> None:
        self._config = config
        self._folder = folder
        self._progress = progress
        self._cost = CostMeter(folder)
        extra = [TensorBoard(folder)] if config.tensorboard else []
        self._watchers = Callbacks([self._cost, MetricsWriter(folder), *extra, progress])
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
            data = federated_data(config)
            client_shares(config)
            self._progress.tell("start", what=self._describe())
            self._prepare()
            model = resident(config, choose_device(config.engine.device))
            evaluator = Evaluator(config, model, data, config.eval.threads)
            with kept_in(self._folder, self._id):
                self._work(grid, model, evaluator)
        self._progress.tell("end", table=result_table(self._folder), folder=str(self._folder.path))

    def _recall(self) -> None:
        """Put the folder's files back to where the checkpoint was made."""
        if self._config.resume:
            number = self._saved.state.number if self._saved else 0
            self._watchers.recall(self._saved.memory if self._saved else {})
            self._progress.tell("resumed", round=number, folder=str(self._folder.path))

    def _work(self, grid: Grid, model: Resident, evaluator: Evaluator) -> None:
        config, arrays = self._config, Arrays()
        for stage in range(len(config.tuning.stages)):
            checkpoint = Checkpoint(self._folder, self._id, stage, self._watchers)
            arrays |= self._stage(stage, grid, model, evaluator, checkpoint)
        self._controls(evaluator, has_model=bool(arrays))
        if arrays:
            save_adapter(model.vlm, config.tuning, arrays, self._folder.path / ADAPTER)
        self._cost.write()
        draw_curve(self._folder)
        checkpoint.finish()

    def _describe(self) -> str:
        c = self._config
        return (
            f"{c.algorithm.name} on {c.dataset.name} ({c.partition.name}), "
            f"{c.num_clients} clients, {c.num_rounds} rounds, "
            f"{c.model.name} with {c.tuning.name}, seed {c.seed}"
        )

    def _prepare(self) -> None:
        choice, began, what = self._config.model, time.monotonic(), f"{self._config.model.name}"
        stepped = False

        def step(done: int, total: int, _loss: float) -> None:
            nonlocal stepped
            if not stepped:
                self._progress.step("prepare", 0, total, what=what)
            stepped = True
            self._progress.step("prepare", done, total, what=what)

        prepare_model(choice.name, choice.kind, choice.params, step)
        if stepped:
            self._progress.tell("prepared", what=what, seconds=time.monotonic() - began)

    def _loop(self, stage: int) -> Loop:
        c, saved = self._config, self._saved
        return Loop(
            num_clients=c.num_clients,
            cohort_size=c.cohort_size,
            min_replies=c.replies_needed,
            seed=c.seed,
            stage=stage,
            wire_dtype=c.wire.dtype,
            max_update_norm=c.max_update_norm,
            run=self._id,
            resume=saved.state if saved and saved.stage == stage else None,
            full_scores=lambda number: self._due(stage, number),
        )

    def _due(self, stage: int, number: int) -> bool | None:
        """Whether a round's scores are on the whole test set; None: the round is not scored."""
        if number in (0, self._config.rounds_of(stage)):
            return True
        return None if number % self._config.eval.every else False

    def _stage(
        self,
        stage: int,
        grid: Grid,
        model: Resident,
        evaluator: Evaluator,
        checkpoint: Checkpoint,
    ) -> Arrays:
        config, rounds = self._config, self._config.rounds_of(stage)
        self._progress.rounds = rounds
        loop = replace(self._loop(stage), callback=Callbacks([self._watchers, checkpoint]))
        strategy = load_strategy(config.algorithm, loop)
        trained = model.initial[stage]

        def evaluate(number: int, record: ArrayRecord) -> MetricRecord | None:
            full = self._due(stage, number)
            if full is None:
                return None
            write(set_trainable(model.vlm, config.tuning.stages[stage]), unpack(record))
            return self._evaluate(number, stage, evaluator, full)

        result = strategy.start(
            grid=grid,
            initial_arrays=pack(trained, config.wire.dtype),
            num_rounds=rounds,
            timeout=config.round_timeout,
            evaluate_fn=evaluate,
        )
        arrays = unpack(result.arrays)
        if arrays:  # the last round's, whoever has used the model since
            write(set_trainable(model.vlm, config.tuning.stages[stage]), arrays)
        return arrays

    def _evaluate(self, number: int, stage: int, evaluator: Evaluator, full: bool) -> MetricRecord:
        what = "test set" if full else "test sample"
        scores, predictions, seconds = evaluator.run(
            full, lambda done, total: self._progress.step("evaluating", done, total, what=what)
        )
        lines = "".join(json.dumps({"round": number, **record}) + "\n" for record in predictions)
        self._folder.write(PREDICTIONS, lines)
        found = Evaluation(stage, number, "server", what, scores, seconds, full)
        self._watchers.on_evaluated(found)
        flat = {
            f"{task}.{key}": value
            for task, values in scores.items()
            for key, value in values.items()
        }
        return MetricRecord(cast(dict[str, int | float | list[int] | list[float]], flat))

    def _controls(self, evaluator: Evaluator, has_model: bool) -> None:
        """What a model scores that is blind to the picture, by three ways of being blind."""
        rounds, stage = self._progress.rounds, len(self._config.tuning.stages) - 1
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
