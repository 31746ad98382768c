"""Weights & Biases (an extra: `pip install "fedvlm-flwr[wandb]"`).

Offline unless $WANDB_MODE says otherwise: the run lies in `wandb/` of its folder, and `wandb sync`
sends it when its user wants that.
"""

import os
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.trackers.base import not_installed, numbers_of, scores_of
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState

PROJECT = "fedvlm_flwr"
ROUND = "round"  # the step of every metric


class WandB(Callback):
    """Writes losses, seconds, bytes and scores as metrics over rounds, and the configuration.

    Raises:
        ConfigError: W&B is not installed.
    """

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing leaves the machine
        try:
            import wandb
        except ImportError as error:
            raise not_installed("wandb") from error
        self._wandb: Any = wandb
        self._folder, self._settings = folder.path, settings
        self._id = ""
        self._run: Any = None

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on with the run that was begun: what is sent later has one id."""
        self._id = str(memory.get("id", ""))

    def memory(self) -> dict[str, Any]:
        """W&B's id of the run."""
        return {"id": self._id}

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The round's numbers."""
        self._add(numbers_of(account), account.number)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """The scores, controls beside them."""
        self._add(scores_of(evaluation), evaluation.number)

    def on_end(self, failed: bool) -> None:
        """Have it on disk, so that the process may begin another run."""
        if self._run is not None:
            self._run.finish(exit_code=int(failed))

    def _add(self, values: Mapping[str, float], number: int) -> None:
        if self._run is None:
            self._run = self._started()
        self._run.log({ROUND: number, **values})

    def _started(self) -> Any:
        self._id = self._id or uuid4().hex
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._folder.name,
            id=self._id,
            resume="allow",
            dir=str(self._folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=dict(self._settings),
            settings=self._wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True
            ),
        )
        run.define_metric("*", step_metric=ROUND)
        return run


def tracker(folder: RunFolder, settings: Mapping[str, Any]) -> Callback:
    """See `TrackerKind`."""
    return WandB(folder, settings)
