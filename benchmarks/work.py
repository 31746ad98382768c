"""The local training that several ways of federating are measured on: one model, data, draws."""

import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
import torch
from torch import Tensor, nn

from client_app.local import draw, encode_all, make_optimizer
from fedvlm_flwr import run
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.vlm import Encoded
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import METRICS, RunFolder
from fedvlm_flwr.schedule import round_lr, steps_of
from fedvlm_flwr.seeding import stream, torch_seed
from strategies.core.loop import RoundLoop

CPU = torch.device("cpu")
Tensors = dict[str, Tensor]

# The budget of experiment=compare, scored as little as can be.
RECIPE = ("experiment=compare", "partition=iid", "dataset.test_pictures=5", "eval.max_examples=5")
RECIPE += ("eval.shuffled=false", "eval.bootstrap=1", "eval.every=1000")
RECIPE += ("dataset.train_pictures=40",)  # few enough to be encoded in the first rounds


class Work:
    """What a run's clients train, without the run: its model, and the batches of each round.

    Args:
        words: overrides of the configuration.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.process = Process()
        self.config = self.process.compose({"overrides": shlex.join(words)})
        torch.set_num_threads(self.config.engine.threads)
        self.model = self.process.model(self.config, CPU)
        self.parameters = self.model.place(0, self.model.initial[0], {})
        self.draws = cache(self._draws)
        self._encoded: dict[Example, Encoded] = {}

    @property
    def initial(self) -> Tensors:
        """The trained tensors as the first round has them."""
        return {name: torch.from_numpy(v).clone() for name, v in self.model.initial[0].items()}

    def clients(self) -> range:
        """All of them."""
        return range(self.config.fixed_clients)

    def weight(self, client: int) -> int:
        """A client's number of examples."""
        return len(self.process.rows_of(self.config, client))

    def lr(self, number: int) -> float:
        """The learning rate of a round."""
        return round_lr(self.config, 0, number)

    def seed(self, number: int, client: int) -> int:
        """Of the dropout in a client's round."""
        return torch_seed(self.config.seed, "dropout", 0, number, client)

    def _draws(self, number: int, client: int) -> list[list[Example]]:
        """The batches of a client's round, as a run draws them."""
        config, rows = self.config, self.process.rows_of(self.config, client)
        steps = steps_of(config.train, len(rows))
        order = stream(config.seed, "batches", 0, number, client)
        picks = [[rows[i] for i in pick] for pick in draw(len(rows), config.train, steps, order)]
        distinct = sorted({row for pick in picks for row in pick})
        records = self.process.examples_at(config, distinct)
        example = dict(zip(distinct, records, strict=True))
        return [[example[row] for row in pick] for pick in picks]

    def encoded(self, batch: Sequence[Example]) -> list[Encoded]:
        """Token ids, made once."""
        self._encoded |= encode_all(self.model.vlm, [x for x in batch if x not in self._encoded])
        return [self._encoded[one] for one in batch]

    def optimizer(self, parameters: Sequence[nn.Parameter], number: int) -> torch.optim.Optimizer:
        """A client's, new in each round."""
        return make_optimizer(self.config.train, parameters, self.lr(number))


def mean_of(results: Sequence[tuple[float, Tensors]]) -> Tensors:
    """The weighted mean of tensors."""
    total = sum(weight for weight, _ in results)
    first = results[0][1]
    return {n: torch.stack([w / total * t[n] for w, t in results]).sum(0) for n in first}


def in_turns(
    words: Sequence[str], parent: Path, other: Callable[[int], float]
) -> tuple[list[float], list[float], RunFolder]:
    """A run in this process, after each of whose rounds another way has its turn.

    Args:
        parent: of the run's folder.
        other: does a round of this number; its CPU seconds.

    Returns:
        CPU seconds of the run's rounds, those of the other way's, and the run's folder.
    """
    ours, theirs, whole = list[float](), list[float](), RoundLoop._round

    def clocked(loop: RoundLoop, number: int) -> Any:
        began = time.process_time()
        account = whole(loop, number)
        ours.append(time.process_time() - began)
        theirs.append(other(number))
        return account

    with mock.patch.object(RoundLoop, "_round", clocked):
        result = run(*words, output_dir=parent)
    return ours, theirs, RunFolder(result.path)


def run_rounds(words: Sequence[str], parent: Path) -> tuple[list[float], RunFolder]:
    """A run: seconds of its rounds, and its folder.

    Args:
        parent: of the run's folder.
    """
    folder = RunFolder(run(*words, output_dir=parent).path)
    return list(values_by_round(folder, "server", "seconds").values()), folder


def values_by_round(folder: RunFolder, where: str, metric: str) -> dict[int, float]:
    """A number of each round in a run's metrics."""
    lines: Any = folder.lines(METRICS)
    place = (where, "train", metric)
    return {
        line["round"]: line["value"]
        for line in lines
        if (line["where"], line["task"], line["metric"]) == place
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median, and all of them."""
    return {"median": statistics.median(values), "all": list(values)}
