"""metrics.jsonl: one flat object a line."""

from collections.abc import Iterator, Mapping
from typing import Any

from fedvlm_flwr.run_folder import METRICS, RunFolder
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState

TRAIN = ("loss", "num_examples", "steps", "examples_seen", "truncated_questions", "seconds")


class MetricsWriter(Callback):
    """Writes each round's training numbers, and the scores.

    Lines are `{"round", "where", "task", "metric", "value"}`, with `stage` beside them from the
    second stage on; rounds are counted over all stages.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def write(
        self, number: int, where: str, task: str, values: Mapping[str, float | str], stage: int = 0
    ) -> None:
        """Add one line for each metric."""
        self._folder.append(METRICS, *_lines(number, where, task, values, stage))

    def write_shares(
        self, number: int, shares: Mapping[int, Mapping[str, Mapping[str, float]]], stage: int
    ) -> None:
        """Add the lines of each client's own share of the test set, by task."""
        lines = [
            line
            for client, scores in sorted(shares.items())
            for task, values in scores.items()
            for line in _lines(number, f"client:{client}", task, values, stage)
        ]
        self._folder.append(METRICS, *lines)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The round as a whole, then each client's loss, steps and seconds, then the failures."""
        whole = {
            "loss": account.loss,
            "seconds": account.seconds,
            "bytes_up": account.bytes_up,
            "bytes_down": account.bytes_down,
            "clients": len(account.replies),
            "failures": len(account.failures),
        }
        if account.product_distance is not None:
            whole["product_distance"] = account.product_distance
        if account.step_ratio is not None:
            whole["step_ratio"] = account.step_ratio
        self.write(account.number, "server", "train", whole, account.stage)
        for client, metrics in sorted(account.replies.items()):
            numbers = {
                key: getattr(metrics, key) for key in TRAIN if getattr(metrics, key) is not None
            }
            self.write(account.number, f"client:{client}", "train", numbers, account.stage)
        for metric, reasons in (("retried", account.retried), ("failure", account.failures)):
            for client, reason in sorted(reasons.items()):
                text: dict[str, float | str] = {metric: reason}
                self.write(account.number, f"client:{client}", "train", text, account.stage)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """Each task's metrics, and whether they are of the whole test set; controls by their name.

        A control's metrics are named `control_<name>_<metric>`.
        """
        prefix = f"control_{evaluation.control}_" if evaluation.control else ""
        full = {} if evaluation.full is None else {"full": float(evaluation.full)}
        place = (evaluation.number, evaluation.where)
        for task, metrics in evaluation.scores.items():
            values = {f"{prefix}{key}": value for key, value in metrics.items()} | full
            self.write(*place, task, values, evaluation.stage)

    def memory(self) -> dict[str, Any]:
        """How much of the file belongs to what is finished."""
        size = self._folder.size(METRICS)
        return {"bytes": size, "sha256": self._folder.digest(METRICS, size)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Remove what was written after that: it will be written again."""
        self._folder.cut(METRICS, int(memory.get("bytes", 0)))


def _lines(
    number: int, where: str, task: str, values: Mapping[str, float | str], stage: int
) -> Iterator[dict[str, Any]]:
    place = {"round": number, **({"stage": stage} if stage else {})}
    for metric, value in values.items():
        yield {**place, "where": where, "task": task, "metric": metric, "value": value}
