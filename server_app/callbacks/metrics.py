"""metrics.jsonl: one flat object a line."""

from collections.abc import Mapping

from fedvlm_flwr.run_folder import METRICS, RunFolder
from fedvlm_flwr.wire import Arrays
from strategies.core.events import Callback, Round


class MetricsWriter(Callback):
    """Writes each round's training numbers, and what the evaluation hands over.

    Lines are `{"round", "where", "task", "metric", "value"}`, with `stage` beside them from the
    second stage on.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def write(
        self, number: int, where: str, task: str, values: Mapping[str, float | str], stage: int = 0
    ) -> None:
        """Add one line for each metric."""
        place = {"round": number, **({"stage": stage} if stage else {})}
        self._folder.append(
            METRICS,
            *(
                {**place, "where": where, "task": task, "metric": metric, "value": value}
                for metric, value in values.items()
            ),
        )

    def on_round_end(self, account: Round, arrays: Arrays) -> None:
        """The round as a whole, then each client's loss, steps and seconds, then the failures."""
        whole = {
            "loss": account.loss,
            "seconds": account.seconds,
            "bytes_up": account.bytes_up,
            "bytes_down": account.bytes_down,
            "clients": len(account.replies),
            "failures": len(account.failures),
        }
        self.write(account.number, "server", "train", whole, account.stage)
        for client, metrics in sorted(account.replies.items()):
            kept = ("loss", "num_examples", "steps", "examples_seen", "seconds")
            values = {key: metrics[key] for key in kept if key in metrics}
            self.write(account.number, f"client:{client}", "train", values, account.stage)
        for client, reason in sorted(account.failures.items()):
            self.write(
                account.number, f"client:{client}", "train", {"failure": reason}, account.stage
            )
