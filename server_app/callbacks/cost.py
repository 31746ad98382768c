"""cost.json: what the run has used so far, replaced whole after each round."""

import json
import time
from collections.abc import Mapping
from typing import Any

from fedvlm_flwr.messages import TrainReply
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import COST, RunFolder
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState

SECONDS = ("wall", "rounds", "waiting", "local_training", "evaluation")


class CostMeter(Callback):
    """Adds up seconds, bytes, memory and model loads.

    Of the seconds, `wall` is the server's from its start, `rounds` the part inside rounds,
    `waiting` the part of that in which it waited for replies, `evaluation` its own scoring;
    `local_training` is the clients' time added up, whether they worked side by side or not. Of the
    processes it has what the server's and what the largest of the clients' used, each number by
    itself: however many processes come and go, the account does not grow.
    """

    def __init__(self, folder: RunFolder, process: Process) -> None:
        self._folder = folder
        self._server = process
        self._began = time.monotonic()  # moved back by what a resumed run has used before
        self.seconds = dict.fromkeys(SECONDS, 0.0)
        self.bytes = {"up": 0, "down": 0}
        self.processes: dict[str, dict[str, float]] = {}
        self.arrays: dict[str, int] = {}

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """Note what the client's process has used so far."""
        if reply is None:
            return
        metrics = reply.metrics
        self.seconds["local_training"] += metrics.seconds
        use = ("peak_memory_bytes", "model_loads", "images_encoded")
        numbers = {key: getattr(metrics, key) for key in use}
        self._process("client", numbers)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """Add the round and write the file."""
        self.seconds["rounds"] += account.seconds
        self.seconds["waiting"] += account.waiting
        self.bytes["up"] += account.bytes_up
        self.bytes["down"] += account.bytes_down
        self.arrays = {
            "tensors": len(state.arrays),
            "numbers": sum(values.size for values in state.arrays.values()),
        }
        self.write()

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """Add the time of an evaluation; the clients' own come once more, added up."""
        if not evaluation.where.startswith("client:"):
            self.seconds["evaluation"] += evaluation.seconds

    def memory(self) -> dict[str, Any]:
        """All that is counted."""
        return self._account()

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        if memory:
            self.seconds, self.bytes = dict(memory["seconds"]), dict(memory["bytes"])
            self.processes, self.arrays = memory["processes"], memory["shared_arrays"]
            self._began -= self.seconds["wall"]

    def _process(self, name: str, facts: Mapping[str, float]) -> None:
        peaks = self.processes.setdefault(name, {})
        for key, value in facts.items():
            peaks[key] = max(peaks.get(key, 0), int(value))

    def write(self) -> None:
        """Replace cost.json."""
        self._folder.write(COST, json.dumps(self._account(), indent=2) + "\n")

    def _account(self) -> dict[str, Any]:
        self.seconds["wall"] = time.monotonic() - self._began
        self._process("server", self._server.usage())
        return {
            "seconds": {key: round(value, 3) for key, value in self.seconds.items()},
            "bytes": self.bytes,
            "shared_arrays": self.arrays,
            "processes": self.processes,
        }
