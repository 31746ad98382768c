"""A federation beside what is usually written for one: how much sooner a round is done.

    python benchmarks/usual_way.py [--ways trainer flower] [--clients 4] [--times 5] [--steps 10]
                                    [--reading] [--out FILE]

- `trainer`: a loop in one process that loads the whole state into the model for every client and
  round, builds a transformers `Trainer`, trains, and deep-copies the state to average it; against
  our in-process engine, by CPU seconds, round by round in turns.
- `flower`: an app on stock Flower's simulation with Ray, FedAvg and two actors, whose clients load
  the base model on every message and train it by a `Trainer`; between two runs on our Ray engine,
  by the clock.

All have the same model, data, draws, seeds, optimizer and steps, the budget of experiment=compare:
10 steps of 16 examples; `--steps` sets another number. The rivals train transformers' own class of
the model with peft's adapters, and hold processed pictures and tokens in memory, which is more than
such code mostly does; with `--reading` the trainer loop opens and processes each picture in each
step, as tutorials do. The first round is not counted; losses of the last round are compared.
"""

import argparse
import copy
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.work import RECIPE, Work, in_turns, mean_of, run_rounds, spread, values_by_round

# isort: split
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from benchmarks import usual_apps
from benchmarks.empty_rounds import ClockedFedAvg, on_ray
from benchmarks.showing import show
from benchmarks.usual_apps import network_of, train_client, trainable
from fedvlm_flwr.engines.actors.environment import FIXED
from fedvlm_flwr.run_folder import RunFolder

Row = dict[str, Any]


class TrainerLoop:
    """The usual loop.

    Args:
        reading: whether pictures are opened and processed in every step.
    """

    def __init__(self, work: Work, reading: bool) -> None:
        self.work, self._reading = work, reading
        self.network = network_of(work.model.vlm)
        self.state = copy.deepcopy(self.network.state_dict())
        self.losses: list[float] = []

    def round(self, number: int) -> None:
        """Train all clients, average what they trained."""
        states, losses = [], []
        for client in self.work.clients():
            self.network.load_state_dict(self.state)
            loss = train_client(self.work, self.network, number, client, self._reading)
            states.append((self.work.weight(client), copy.deepcopy(self.network.state_dict())))
            losses.append((self.work.weight(client), loss))
        names = trainable(self.network)
        self.state |= mean_of([(w, {n: state[n] for n in names}) for w, state in states])
        self.losses.append(weighted_mean(losses))


def weighted_mean(losses: list[tuple[float, float]]) -> float:
    """The weighted mean."""
    return statistics.fmean((loss for _, loss in losses), (weight for weight, _ in losses))


def beside_trainer(words: list[str], folder: Path, reading: bool) -> Row:
    """Rounds of a run and of the loop in turns."""
    loop = TrainerLoop(Work(words), reading)

    def timed(number: int) -> float:
        began = time.process_time()
        loop.round(number)
        return time.process_time() - began

    ours, theirs, result = in_turns([*words, "engine=inprocess"], folder, timed)
    return row(ours, theirs, result, loop.losses)


def beside_flower(words: list[str], folder: Path) -> Row:
    """The app between two runs on Ray."""
    own = [*words, "engine=ray"]
    before, result = run_rounds(own, folder)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=stock, args=(words, queue))
    process.start()
    theirs, losses = queue.get()
    process.join()
    after, _ = run_rounds(own, folder)
    ours = [statistics.mean(pair) for pair in zip(before, after, strict=True)]
    return row(ours, theirs, result, losses)


def stock(words: list[str], queue: Any) -> None:
    """The app's rounds: their seconds and losses."""
    os.environ |= FIXED
    clients = len(Work(words).clients())
    queue.put(on_ray(usual_apps.app, clients, lambda grid: stock_rounds(grid, words)))


def stock_rounds(grid: Grid, words: list[str]) -> tuple[list[float], list[float]]:
    """The rounds of the app's server."""
    work = Work(words)
    strategy = ClockedFedAvg(len(work.clients()))
    initial = ArrayRecord(trainable(network_of(work.model.vlm)))
    settings = ConfigRecord({"words": "\n".join(words)})
    result = strategy.start(grid, initial, work.config.num_rounds, 3600, settings)
    ends = [*(at for at, _ in strategy.marks), time.monotonic()]
    seconds = [b - a for a, b in pairwise(ends)]
    metrics: Any = result.train_metrics_clientapp
    return seconds, [float(metrics[number]["loss"]) for number in sorted(metrics)]


def row(ours: list[float], theirs: list[float], folder: RunFolder, losses: list[float]) -> Row:
    """What came of both, without the first round."""
    our_losses = values_by_round(folder, "server", "loss")
    ratios = [b / a for a, b in zip(ours[1:], theirs[1:], strict=True)]
    return {
        "ratio": statistics.median(theirs[1:]) / statistics.median(ours[1:]),
        "ratios": ratios,
        "ours": spread(ours[1:]),
        "theirs": spread(theirs[1:]),
        "last_losses": [our_losses[max(our_losses)], losses[-1]],
    }


def measure(way: str, clients: int, times: int, *more: str, reading: bool = False) -> Row:
    """One way beside ours, with further overrides of the recipe."""
    words = [*RECIPE, f"num_rounds={times + 1}", f"num_clients={clients}", *more]
    with tempfile.TemporaryDirectory(prefix="usual-") as folder:
        if way == "trainer":
            return beside_trainer(words, Path(folder), reading)
        return beside_flower(words, Path(folder))


def table(rows: dict[str, Row]) -> str:
    """Seconds of a round, theirs and ours."""
    lines = ["| usual way | theirs s | ours s | ratio | of rounds | last losses |"]
    lines.append("|---|---:|---:|---:|---|---|")
    for way, one in rows.items():
        turns = f"{min(one['ratios']):.2f} to {max(one['ratios']):.2f}"
        losses = " and ".join(f"{loss:.5f}" for loss in reversed(one["last_losses"]))
        lines.append(
            f"| {way} | {one['theirs']['median']:.2f} | {one['ours']['median']:.2f} | "
            f"{one['ratio']:.2f} | {turns} | {losses} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", default=["trainer", "flower"])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--reading", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    numbers = (options.clients, options.times)
    steps = f"train.local_steps={options.steps}"
    rows = {way: measure(way, *numbers, steps, reading=options.reading) for way in options.ways}
    show(table(rows), rows, options.out)


if __name__ == "__main__":
    main()
