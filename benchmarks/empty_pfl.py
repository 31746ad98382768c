"""Empty rounds in `pfl`, Apple's simulator; run by `empty_rounds.py` with pfl's own Python.

    python benchmarks/empty_pfl.py NUMBERS CLIENTS ROUNDS

Its federated averaging as it is, without the training: a client is the difference of its model to
what it began with, weighted by its examples. Prints the seconds and CPU seconds of each round, and
the peak of memory in MB.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel

TENSORS = 16


class Network(torch.nn.Module):
    """Parameters of the same number and shapes as those of the other systems."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        sizes = [len(part) for part in np.array_split(np.empty(numbers, np.bool_), TENSORS)]
        parts = (torch.nn.Parameter(torch.full((size,), 0.5)) for size in sizes)
        self.tensors = torch.nn.ParameterList(parts)

    def loss(self, *batch: Any) -> torch.Tensor:
        """Never asked for."""
        raise NotImplementedError

    metrics = loss


class Empty(FederatedAveraging):  # type: ignore[misc]
    """Federated averaging whose clients train nothing."""

    def train_one_user(self, initial: Any, model: Any, data: Any, context: Any) -> Any:
        """What `FederatedAveraging` does after the training."""
        return model.get_model_difference(initial), Metrics()


class Clock(TrainingProcessCallback):  # type: ignore[misc]
    """The time at the end of each round."""

    def __init__(self) -> None:
        self.marks = [(time.monotonic(), time.process_time())]

    def after_central_iteration(
        self, aggregate_metrics: Any, model: Any, *, central_iteration: int
    ) -> Any:
        """Note it."""
        self.marks.append((time.monotonic(), time.process_time()))
        return False, Metrics()


def main() -> None:
    """Run rounds and print what they took."""
    numbers, clients, rounds = map(int, sys.argv[1:])
    users = iter(range(10**9))
    data = FederatedDataset(
        lambda user: Dataset((np.zeros(1 + user % 3, np.float32),), user_id=str(user)),
        lambda: next(users) % clients,
    )
    network = Network(numbers)
    model = PyTorchModel(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), lr=1.0))
    backend = SimulatedBackend(data, data, [WeightByDatapoints()])
    clock = Clock()
    # The first round is always evaluated in pfl's schedule, which no other system here does.
    params = NNAlgorithmParams(rounds, 10**9, clients, None)
    algorithm = Empty()
    algorithm._current_central_iteration = 1
    training = NNTrainHyperParams(
        local_batch_size=None, local_num_epochs=1, local_learning_rate=0.1
    )
    algorithm.run(params, backend, model, training, callbacks=[clock])
    pairs = list(zip(clock.marks, clock.marks[1:], strict=False))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    row = {
        "seconds": [b[0] - a[0] for a, b in pairs],
        "cpu": [b[1] - a[1] for a, b in pairs],
        "megabytes": int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024,
    }
    print(f"\nresult: {json.dumps(row)}")


if __name__ == "__main__":
    main()
