"""Rounds counted over all stages, for those who watch."""

from dataclasses import replace

from fedvlm_flwr.messages import TrainReply
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState


class RunRounds(Callback):
    """Passes on what a stage tells, its rounds numbered on from those of the stages before.

    So a run has each round's number once, and tables and curves need not know of stages.
    """

    def __init__(self, watcher: Callback, before: int) -> None:
        self._watcher = watcher
        self._before = before

    def _of_run(self, account: Round) -> Round:
        return replace(account, number=account.number + self._before)

    def on_round_start(self, account: Round) -> None:
        """Pass on."""
        self._watcher.on_round_start(self._of_run(account))

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """Pass on."""
        self._watcher.on_reply(self._of_run(account), client, reply)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """Pass on."""
        self._watcher.on_round_end(self._of_run(account), state)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """Pass on."""
        number = evaluation.number + self._before
        self._watcher.on_evaluated(replace(evaluation, number=number))

    def on_scored(self, state: ServerState) -> None:
        """Pass on."""
        self._watcher.on_scored(state)
