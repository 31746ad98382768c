"""TensorBoard event files (an extra: `pip install "fedvlm-flwr[tensorboard]"`)."""

from collections.abc import Mapping
from typing import Any

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.run_folder import RunFolder
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
            raise ConfigError(
                'tensorboard=true, but it is not installed; pip install "fedvlm-flwr[tensorboard]" '
                "or set tensorboard=false."
            ) from error
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
        self._add("train/loss", account.loss, account.number)
        self._add("train/seconds", account.seconds, account.number)
        self._add("train/bytes_up", account.bytes_up, account.number)
        self._add("train/bytes_down", account.bytes_down, account.number)
        self._add("train/failures", len(account.failures), account.number)
        if account.step_ratio is not None:
            self._add("train/step_ratio", account.step_ratio, account.number)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """The scores, controls beside them."""
        where = evaluation.control or evaluation.where.replace(":", "_")
        for task, metrics in evaluation.scores.items():
            for metric, value in metrics.items():
                self._add(f"{task}/{metric}/{where}", value, evaluation.number)

    def on_scored(self, state: ServerState) -> None:
        """Have it on disk."""
        if self._writer is not None:
            self._writer.flush()

    def _add(self, name: str, value: float, number: int) -> None:
        if self._writer is None:
            self._writer = self._make(self._path, purge_step=self._from or None)
        self._writer.add_scalar(name, value, number)
