"""Which round's model a stage ends with, where that is the best one's on validation records."""

from dataclasses import replace

import numpy as np

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.process import Process
from fedvlm_flwr.report.headlines import headline
from server_app.callbacks.progress import Progress
from strategies.core.events import Callback, Evaluation
from strategies.core.state import ServerState

BEST, FACTS = "best", "facts"  # a section of the state, and round and score in it
ARRAYS, RESIDUAL = "arrays/", "residual/"
VALIDATION = "validation"


class BestRound:
    """The best round so far, in the server's state, so that a resumed run knows it.

    Args:
        watchers: are told of each evaluation, rounds counted over all stages.
    """

    def __init__(
        self,
        config: Config,
        process: Process,
        model: Resident,
        watchers: Callback,
        progress: Progress,
    ) -> None:
        own = replace(config.eval, split=VALIDATION, keep="last", keep_by=None, patience=None)
        self._evaluator = Evaluator(replace(config, eval=own), model, process, config.eval.threads)
        self._config, self._watchers, self._progress = config, watchers, progress

    def consider(
        self, state: ServerState, stage: int, number: int, arrays: Arrays, residual: Arrays
    ) -> None:
        """Score the model that the evaluator's holds, and remember it where it is the best.

        Args:
            arrays: what that is, with its frozen term beside the base.

        Raises:
            ConfigError: there is no such metric; lists those that there are.
        """
        what = "validation records"
        result = self._evaluator.run(
            True, lambda done, total: self._progress.step("evaluating", done, total, what=what)
        )
        where = self._config.rounds_before(stage) + number
        self._watchers.on_evaluated(
            Evaluation(stage, where, VALIDATION, what, result.scores, result.seconds, True)
        )
        score = self._score(result.scores)
        if self.number(state) == 0 or score > self._facts(state)[1]:
            named = {ARRAYS + name: values for name, values in arrays.items()}
            named |= {RESIDUAL + name: values for name, values in residual.items()}
            facts = np.array([number, score], np.float64).astype(np.float32)
            state.replace_section(BEST, {**named, FACTS: facts})

    def _score(self, scores: dict[str, dict[str, float]]) -> float:
        settings = {f"eval.headlines.{t}": m for t, m in self._config.eval.headlines.items()}
        name = self._config.eval.keep_by
        if name is None and len(scores) == 1:
            (task,) = scores
            name = f"{task}.{headline(task, settings)}"
        flat = {f"{task}.{m}": v for task, own in scores.items() for m, v in own.items()}
        if name not in flat:
            raise ConfigError(
                f"eval.keep=best chooses by eval.keep_by={name}, and there is no such score; "
                f"choose one of: {', '.join(sorted(flat))}."
            )
        return flat[name]

    def _facts(self, state: ServerState) -> tuple[int, float]:
        number, score = state.section(BEST).get(FACTS, np.zeros(2, np.float32))
        return int(number), float(score)

    def number(self, state: ServerState) -> int:
        """The best round so far; 0: none is scored yet."""
        return self._facts(state)[0]

    def model(self, state: ServerState) -> tuple[Arrays, Arrays]:
        """The best round's tensors, and the frozen term that goes with them."""
        best = state.section(BEST)
        return section(best, ARRAYS), section(best, RESIDUAL)

    def is_over(self, state: ServerState) -> bool:
        """Whether so many scored rounds have brought nothing better that the stage ends."""
        patience, every = self._config.eval.patience, self._config.eval.every
        best = self.number(state)
        if patience is None or best == 0:
            return False
        return state.number // every - best // every >= patience
