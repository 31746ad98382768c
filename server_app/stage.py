"""One stage of the tuning: its federation, its rounds, its result."""

from dataclasses import dataclass

from flwr.app import MetricRecord
from flwr.serverapp import Grid

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.models.resident import Resident
from server_app.callbacks.checkpoint import Checkpoint
from server_app.callbacks.run_rounds import RunRounds
from server_app.scoring import Scoring, full_scores_due
from strategies import load_strategy
from strategies.core.events import Callbacks
from strategies.core.federation import Federation
from strategies.core.loop import RoundLoop
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
    """

    config: Config
    places: Places
    stage: int
    previous: Arrays
    resume: ServerState | None
    model: Resident
    scoring: Scoring
    checkpoint: Checkpoint

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
        measured = [ProductDistance(strategy)] if config.product_distance else []
        loop = RoundLoop(
            strategy,
            grid,
            config.round_timeout,
            Callbacks([*measured, rounds, self.checkpoint]),
            lambda number: full_scores_due(config, stage, number),
            config.eval.where != "server",
            self.resume,
        )
        score = self._score_global if self.scoring.evaluator else None
        loop.run(pack(trained), config.rounds_of(stage), score)
        arrays, residual = strategy.served(), strategy.residual()
        if arrays.keys() == trained.keys():  # the last round's, whoever has used the model since
            model.place(stage, arrays, self.previous, residual)
        return arrays, residual

    def _score_global(self, number: int, arrays: Arrays, residual: Arrays) -> MetricRecord | None:
        full = full_scores_due(self.config, self.stage, number)
        if full is None:
            return None
        self.model.place(self.stage, arrays, self.previous, residual)
        return self.scoring.score(self.stage, number, full)
