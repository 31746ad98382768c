"""One run on the server's side: its checks, its stages, its files."""

import json
import time
from collections.abc import Mapping
from uuid import uuid4

from flwr.serverapp import Grid

from fedvlm_flwr.adapters import pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Scalar
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.labels import require_labels
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.handshake import Fingerprints, fingerprints
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.models import model_parts, prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import require_part
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.process import Process
from fedvlm_flwr.report.curve import draw_curve
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import (
    ADAPTER,
    PROGRESS,
    RESULT,
    SITES,
    SURROUNDINGS,
    RunFolder,
)
from fedvlm_flwr.saved_config import cut_half_lines, record_start, require_same_config
from fedvlm_flwr.surroundings import surroundings
from server_app.callbacks.checkpoint import Checkpoint
from server_app.callbacks.cost import CostMeter
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.progress import Progress
from server_app.callbacks.trackers import trackers_of
from server_app.client_states import client_states_in
from server_app.keeping import BestRound
from server_app.saved import Saved, read_checkpoint
from server_app.scoring import Scoring
from server_app.shortfalls import of_a_site, shortfalls, unfinished_answers
from server_app.sites import described, rank_that_does_not_fit, roster_of
from server_app.spreading import Spread
from server_app.stage import Places, StageRun
from strategies import load_strategy
from strategies.core.events import Callback, Callbacks
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.roster import Roster


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
        self._roster = roster_of(config, self._judge, self._warn)
        self._fingerprints: Fingerprints | None = None
        self._warned: set[str] = set()
        extra: list[Callback] = trackers_of(config, folder)
        extra += [self._roster] if self._roster else []
        self._metrics = MetricsWriter(folder)
        self._watchers = Callbacks([self._cost, self._metrics, *extra, progress])
        self._saved: Saved | None = None
        if config.resume:
            require_same_config(config, folder)
            cut_half_lines(folder)
            if damage := folder.remove_damaged(PROGRESS):
                progress.tell("warning", message=damage)
            self._saved = self._checked(read_checkpoint(folder))
        else:
            record_start(config, folder, run_config)
        folder.cut_half_line(SURROUNDINGS)
        folder.append(SURROUNDINGS, surroundings(config))
        self._id = self._saved.run if self._saved else uuid4().hex

    def _checked(self, saved: Saved | None) -> Saved | None:
        """A checkpoint that is one of this configuration; says so where the newest is damaged.

        Raises:
            RunError: it is of a stage or round that the run does not have.
        """
        if saved is None:
            return None
        stages = len(self._config.tuning.stages)
        if saved.stage >= stages or saved.state.number > self._config.rounds_of(saved.stage):
            raise RunError(
                f"The checkpoint in {self._folder.path} is of stage {saved.stage + 1}, round "
                f"{saved.state.number}, which this run does not have; start a new run."
            )
        if saved.damage:
            self._progress.tell(
                "warning",
                message=f"The newest checkpoint is damaged: {saved.damage}. The run goes on from "
                f"the one before, round {saved.state.number}.",
            )
        return saved

    def execute(self, grid: Grid) -> None:
        """Check what can be checked, run the stages, score, save.

        Raises:
            FedVLMError: see `server_app.app.main`.
        """
        if not (self._saved and self._saved.finished):
            self._go_on(grid)
        self._progress.tell("end", table=result_table(self._folder), folder=str(self._folder.path))

    def _go_on(self, grid: Grid) -> None:
        """Run what is left, and tell those who watch when it is over."""
        failed = True
        try:
            self._run(grid)
            failed = False
        finally:
            self._watchers.on_end(failed)

    def _run(self, grid: Grid) -> None:
        config = self._config
        self._recall()
        self._note_weighting(self._strategy(0))  # which refuses its parameters
        data = self._data()
        self._require_parts()
        self._progress.tell("start", what=self._describe(data))
        self._prepare()
        model = self._process.model(config, choose_device(config.engine.device))
        for message in shortfalls(config, model.vlm, data):
            self._warn(message)
        evaluator, spread = None, Spread.of(config, grid)
        if data is not None:
            others = spread.answers if spread else None
            evaluator = Evaluator(config, model, self._process, config.eval.threads, others=others)
        for message in unfinished_answers(evaluator) if evaluator else ():
            self._warn(message)
        if self._roster is not None:
            self._meet(grid, self._roster, model)
        with client_states_in(self._folder) as session:
            self._stages(grid, session, model, evaluator, spread)

    def _warn(self, message: str) -> None:
        self._progress.tell("warning", message=message)

    def _data(self) -> FederatedData | None:
        """The server's tables; None: it has none, and real sites score.

        Raises:
            ConfigError: what there is cannot be assigned to the clients.
            DataError: the tables cannot be used, or there is nothing to score by.
        """
        config = self._config
        if config.eval.where == "sites":
            return None
        data = self._process.data(config)
        data.require("test")
        require_labels(data, config.dataset.params)
        self._process.test_shares(config)
        return data

    def _judge(self, site: SiteReply) -> str:
        assert self._fingerprints is not None, "sites are asked once the model is loaded"
        rank = rank_that_does_not_fit(self._strategy(0), site)
        difference = self._fingerprints.difference(site) or rank
        words = "" if difference else of_a_site(self._config, site)
        if words and words not in self._warned:  # a site that comes back says it again
            self._warned.add(words)
            self._warn(words)
        return difference

    def _meet(self, grid: Grid, roster: Roster, model: Resident) -> None:
        """Wait for the real sites, and refuse those that would compute something else.

        Raises:
            RunError: see `Roster.gather`.
        """
        self._fingerprints = fingerprints(self._config, model)
        roster.gather(grid, self._config.round_timeout)
        text = json.dumps(dict(enumerate(roster.names)), indent=2)
        self._folder.write(SITES, f"{text}\n")
        self._progress.tell("sites", what=described(roster))

    def _stages(
        self,
        grid: Grid,
        session: str,
        model: Resident,
        evaluator: Evaluator | None,
        spread: Spread | None,
    ) -> None:
        config, saved = self._config, self._saved
        self._require_passed_on(model)
        scoring = Scoring(
            config, self._folder, evaluator, self._watchers, self._metrics, self._progress
        )
        keeping = None
        if config.eval.keep == "best":
            tellers = self._watchers, self._progress
            keeping = BestRound(config, self._process, model, *tellers)
        result = saved.previous if saved else Arrays()
        for stage in range(saved.stage if saved else 0, len(config.tuning.stages)):
            checkpoint = Checkpoint(self._folder, self._id, stage, result, self._watchers)
            state = saved.state if saved and saved.stage == stage else None
            places = Places(self._id, session, self._roster)
            run = StageRun(
                config, places, stage, result, state, model, scoring, checkpoint, keeping, spread
            )
            arrays, residual = run.execute(grid)
            result = result | arrays
        scoring.controls(has_model=result.keys() == model.first.keys())
        if result:
            folder = self._folder.path / ADAPTER
            save_adapter(model.vlm, config.tuning, result, folder, residual, model.first)
        self._write_result(model, evaluator, result)
        self._cost.write()
        draw_curve(self._folder)
        checkpoint.finish()

    def _write_result(self, model: Resident, evaluator: Evaluator | None, result: Arrays) -> None:
        """Write down what it takes to answer as here, beside the tensors."""
        most = evaluator.most_tokens if evaluator else self._config.eval.max_new_tokens
        facts = {
            "base": model.base_fingerprint,
            "max_new_tokens": most,
            "private": sorted(model.first.keys() - result.keys()),
        }
        self._folder.write(RESULT, json.dumps(facts, indent=2) + "\n")

    def _recall(self) -> None:
        """Put the folder's files back to where the checkpoint was made."""
        if self._config.resume:
            saved = self._saved
            before = self._config.rounds_before(saved.stage) if saved else 0
            number = before + saved.state.number if saved else 0
            self._watchers.recall(saved.memory if saved else {})
            self._progress.tell("resumed", round=number, folder=str(self._folder.path))

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
        config = self._config
        algorithm, stages = config.algorithm, len(config.tuning.stages)
        for stage, trained in enumerate(model.initial):
            strategy = self._strategy(stage)
            shared = strategy.travels(trained)
            if stages > 1 and len(shared) < len(trained):
                raise ConfigError(
                    f"algorithm={algorithm.name} leaves what is trained with the clients, but "
                    f"tuning={config.tuning.name} has {stages} stages, each of which starts from "
                    "the shared result of the one before; choose a tuning with one stage."
                )
            if stage + 1 < stages and strategy.rule.leaves_residual and pairs_in(shared):
                raise ConfigError(
                    f"algorithm={strategy.name} leaves a term beside the base, but what follows "
                    f"stage {stage + 1} of tuning={config.tuning.name} starts from the trained "
                    "tensors alone; choose a tuning whose adapters are trained in its last stage."
                )

    def _strategy(self, stage: int) -> FederatedStrategy:
        return load_strategy(
            self._config.algorithm, Federation.of(self._config, stage, run=self._id)
        )

    def _note_weighting(self, strategy: FederatedStrategy) -> None:
        """Have reports say what clients count by, where that is not their examples."""
        weighting = strategy.federation.weighting
        if self._saved is None and weighting != "examples":
            self._metrics.write(0, "server", "train", {"weighting": weighting})

    def _left_out(self, records: int) -> str:
        """Words on bad records that the dataset allows; their number is in the metrics too."""
        if not records:
            return ""
        if self._saved is None:
            self._metrics.write(0, "server", "train", {"records_left_out": records})
        return f"; {records} bad records left out"

    def _describe(self, data: FederatedData | None) -> str:
        c = self._config
        rounds = " + ".join(str(c.rounds_of(stage)) for stage in range(len(c.tuning.stages)))
        records = ""
        if data is not None:
            records = f"{len(data.train):,} training and {len(data.test):,} {c.eval.split} records"
            records = f"; {records}{self._left_out(data.left_out)}"
        who = f"{c.num_clients} clients" if c.num_clients is not None else "any sites"
        what = f"{c.algorithm.name} on {c.dataset.name}"
        return (
            f"{what}{'' if self._roster else f' ({c.partition.name})'}, {who}, {rounds} rounds, "
            f"{c.model.name} with {c.tuning.name}, seed {c.seed}{records}"
        )

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
