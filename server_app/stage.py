"""One stage of the tuning: its federation, its rounds, its result."""

from dataclasses import dataclass
from functools import partial

from flwr.app import MetricRecord
from flwr.serverapp import Grid

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.models.resident import Resident
from server_app.callbacks.checkpoint import Checkpoint
from server_app.callbacks.run_rounds import RunRounds
from server_app.keeping import BestRound
from server_app.scoring import Scoring, full_scores_due
from server_app.spreading import Spread
from strategies import load_strategy
from strategies.core.events import Callbacks
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.loop import RoundLoop, goes_on
from strategies.core.product_distance import ProductDistance
from strategies.core.roster import Roster
from strategies.core.state import ServerState


@dataclass(frozen=True)
class Places:
    """Where clients are, and where they keep what stays with them.

    Attributes:
        run: the run's id.
        session: see `ClientRequest`.
        roster: the real sites; None: clients are simulated.
    """

    run: str
    session: str
    roster: Roster | None


@dataclass(frozen=True)
class StageRun:
    """What it takes to run a stage of a run.

    Attributes:
        previous: the previous stages' result.
        resume: where the stage's rounds go on; None: at its start.
        keeping: what finds the best round; None: the last one's model is the stage's.
        spread: the clients that answer for the server; None: it answers itself.
    """

    config: Config
    places: Places
    stage: int
    previous: Arrays
    resume: ServerState | None
    model: Resident
    scoring: Scoring
    checkpoint: Checkpoint
    keeping: BestRound | None = None
    spread: Spread | None = None

    def execute(self, grid: Grid) -> tuple[Arrays, Arrays]:
        """Run the rounds that are left.

        Returns:
            The shared tensors after the last one, and the frozen term that goes with them, as
            factors by layer.

        Raises:
            RunError: see `RoundLoop.run`.
        """
        config, stage, model = self.config, self.stage, self.model
        initial = model.initial[stage]
        trained = {name: self.previous.get(name, values) for name, values in initial.items()}
        federation = Federation.of(config, stage, previous=self.previous, **vars(self.places))
        rounds = RunRounds(self.scoring.watchers, config.rounds_before(stage))
        strategy = load_strategy(config.algorithm, federation)
        alone = strategy.keeps_models or len(strategy.travels(trained)) < len(trained)
        if self.keeping is not None and alone:
            raise ConfigError(
                "eval.keep=best chooses a round of one model of all, and here clients have models "
                "of their own; set eval.keep=last."
            )
        measured = [ProductDistance(strategy)] if config.product_distance else []
        loop = RoundLoop(
            strategy,
            grid,
            config.round_timeout,
            Callbacks([*measured, rounds, self.checkpoint]),
            lambda number: full_scores_due(config, stage, number),
            config.eval.where != "server",
            self.resume,
            ends=self.keeping.is_over if self.keeping else goes_on,
        )
        score = partial(self._score_global, strategy) if self.scoring.evaluator else None
        loop.run(pack(trained), config.rounds_of(stage), score)
        arrays, residual = strategy.served(), strategy.residual()
        if self.keeping is not None:
            arrays, residual = self.keeping.model(strategy.state)
        if arrays.keys() == trained.keys():  # the last round's, whoever has used the model since
            self._place(arrays, residual)
        return arrays, residual

    def _place(self, arrays: Arrays, residual: Arrays) -> None:
        """Have what is scored next, and what a run ends with, where it is scored."""
        self.model.place(self.stage, arrays, self.previous, residual)
        if self.spread is not None:
            self.spread.place(self.stage, arrays, self.previous, residual)

    def _score_global(
        self, strategy: FederatedStrategy, number: int, arrays: Arrays, residual: Arrays
    ) -> MetricRecord | None:
        """Score the model after a round; at the end of a stage that model which it ends with."""
        full = full_scores_due(self.config, self.stage, number)
        if full is None:
            return None
        self._place(arrays, residual)
        if self.keeping is not None and number:
            state = strategy.state
            self.keeping.consider(state, self.stage, number, arrays, residual)
            full = full or self.keeping.is_over(state)
            if full:
                best, beside = self.keeping.model(state)
                self._place(best, beside)
                self.scoring.tell_best(self.stage, number, self.keeping.number(state))
        return self.scoring.score(self.stage, number, full)
