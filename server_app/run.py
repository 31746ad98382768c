"""One run on the server's side: stages of federated rounds, scores, files."""

import json
import time
from typing import cast

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import Grid

from fedvlm_flwr.config import Config, to_yaml
from fedvlm_flwr.data.clients import client_shares, federated_data
from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import set_trainable, write
from fedvlm_flwr.models.resident import Resident, choose_device, resident
from fedvlm_flwr.report.curve import draw_curve
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import ADAPTER, CONFIG, PREDICTIONS, RunFolder
from fedvlm_flwr.tasks import load_task
from fedvlm_flwr.wire import Arrays, pack, unpack
from server_app.callbacks.checkpoint import Checkpoint
from server_app.callbacks.cost import CostMeter
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.progress import Progress
from server_app.evaluate import Evaluator, Scores
from strategies import load_strategy
from strategies.base import Loop
from strategies.core.events import Callbacks


class Run:
    """A configured run that writes into its folder."""

    def __init__(self, config: Config, folder: RunFolder, progress: Progress) -> None:
        self._config = config
        self._folder = folder
        self._progress = progress
        self._metrics = MetricsWriter(folder)
        self._cost = CostMeter(folder)
        folder.write(CONFIG, to_yaml(config))

    def execute(self, grid: Grid) -> None:
        """Check what can be checked, run the stages, score, save.

        Raises:
            FedVLMError: see `server_app.app.main`.
        """
        config = self._config
        load_strategy(config.algorithm, self._loop(0))  # refuses its parameters before any work
        data = federated_data(config)
        client_shares(config)
        self._progress.tell("start", what=self._describe())
        self._prepare()
        model = resident(config, choose_device(config.engine.device))
        evaluator = Evaluator(config, model, data)
        arrays: Arrays = {}
        for stage in range(len(config.tuning.stages)):
            arrays |= self._stage(stage, grid, model, evaluator)
        self._controls(evaluator)
        save_adapter(model.vlm, config.tuning, arrays, self._folder.path / ADAPTER)
        self._cost.write()
        draw_curve(self._folder)
        self._progress.tell("end", table=result_table(self._folder), folder=str(self._folder.path))

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
        c = self._config
        watchers = (self._cost, self._metrics, Checkpoint(self._folder), self._progress)
        return Loop(
            num_clients=c.num_clients,
            cohort_size=c.cohort_size,
            min_replies=c.replies_needed,
            seed=c.seed,
            stage=stage,
            wire_dtype=c.wire.dtype,
            callback=Callbacks(watchers),
        )

    def _stage(self, stage: int, grid: Grid, model: Resident, evaluator: Evaluator) -> Arrays:
        config = self._config
        rounds = config.rounds_of(stage)
        self._progress.rounds = rounds
        strategy = load_strategy(config.algorithm, self._loop(stage))

        def evaluate(number: int, record: ArrayRecord) -> MetricRecord | None:
            ends = number in (0, rounds)
            if not ends and number % config.eval.every:
                return None
            write(set_trainable(model.vlm, config.tuning.stages[stage]), unpack(record))
            return self._evaluate(number, stage, evaluator, full=ends)

        result = strategy.start(
            grid=grid,
            initial_arrays=pack(model.initial[stage], config.wire.dtype),
            num_rounds=rounds,
            timeout=config.round_timeout,
            evaluate_fn=evaluate,
        )
        return unpack(result.arrays)

    def _evaluate(self, number: int, stage: int, evaluator: Evaluator, full: bool) -> MetricRecord:
        what = "test set" if full else "test sample"
        scores, predictions, seconds = evaluator.run(
            full, lambda done, total: self._progress.step("evaluating", done, total, what=what)
        )
        for task, values in scores.items():
            self._metrics.write(number, "server", task, {**values, "full": float(full)}, stage)
        lines = "".join(json.dumps({"round": number, **record}) + "\n" for record in predictions)
        self._folder.write(PREDICTIONS, lines)
        self._tell_scores(number, stage, what, scores, seconds)
        flat = {
            f"{task}.{key}": value
            for task, values in scores.items()
            for key, value in values.items()
        }
        return MetricRecord(cast(dict[str, int | float | list[int] | list[float]], flat))

    def _controls(self, evaluator: Evaluator) -> None:
        """What a model scores that is blind to the picture, by three ways of being blind."""
        rounds, stage = self._progress.rounds, len(self._config.tuning.stages) - 1
        controls = {
            "majority": (evaluator.majority(), 0.0),
            "question": (evaluator.question_majority(), 0.0),
        }
        if self._config.eval.shuffled:
            controls["shuffled"] = evaluator.exchanged(
                lambda done, total: self._progress.step(
                    "evaluating", done, total, what="exchanged pictures"
                )
            )
        for control, (scores, seconds) in controls.items():
            for task, values in scores.items():
                named = {f"control_{control}_{key}": value for key, value in values.items()}
                self._metrics.write(rounds, "server", task, named, stage)
            self._tell_scores(rounds, stage, f"control: {control}", scores, seconds)

    def _tell_scores(
        self, number: int, stage: int, what: str, scores: Scores, seconds: float
    ) -> None:
        headlines = {task: values[load_task(task).HEADLINE] for task, values in scores.items()}
        self._cost.evaluated(seconds)
        self._progress.tell(
            "evaluated",
            stage=stage,
            round=number,
            rounds=self._progress.rounds,
            what=what,
            scores=headlines,
            seconds=seconds,
        )
