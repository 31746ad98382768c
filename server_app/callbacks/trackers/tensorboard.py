"""TensorBoard event files (an extra: `pip install "fedvlm-flwr[tensorboard]"`)."""

from collections.abc import Mapping
from typing import Any

from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.trackers.base import not_installed, numbers_of, scores_of
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState


class TensorBoard(Callback):
    """Writes losses, seconds, bytes and scores as scalars under `tensorboard/`.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: RunFolder) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise not_installed("tensorboard") from error
        self._make = SummaryWriter
        self._path = str(folder.path / "tensorboard")
        self._writer: Any = None
        self._from = 0

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Hide what was written after the checkpoint that the run goes on from."""
        self._from = int(memory.get("round", -1)) + 1

    def memory(self) -> dict[str, Any]:
        """The newest round that was written."""
        return {"round": self._from - 1}

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The round's numbers."""
        self._from = account.number + 1
        self._add(numbers_of(account), account.number)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """The scores, controls beside them."""
        self._add(scores_of(evaluation), evaluation.number)

    def on_scored(self, state: ServerState) -> None:
        """Have it on disk."""
        if self._writer is not None:
            self._writer.flush()

    def on_end(self, failed: bool) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, values: Mapping[str, float], number: int) -> None:
        if self._writer is None:
            self._writer = self._make(self._path, purge_step=self._from or None)
        for name, value in values.items():
            self._writer.add_scalar(name, value, number)


def tracker(folder: RunFolder, settings: Mapping[str, Any]) -> Callback:
    """See `TrackerKind`."""
    del settings  # they stand in config.yaml beside the event files
    return TensorBoard(folder)
