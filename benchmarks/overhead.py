"""What federating costs beside the same local training in a bare PyTorch loop.

    python benchmarks/overhead.py [--engines inprocess ray] [--clients 4] [--times 5] [--out FILE]
                                   [KEY=VALUE ...]

Bare is what a client trains and nothing else: the same model, batches, seeds and steps, with tokens
and picture features at hand; the clock runs from the optimizer to the last step. A run counts from
a round's beginning to its end, all that is done in it: messages, checks, files. Both train the
budget of experiment=compare, 10 steps of 16 examples, unless overrides say another.

In process, a round of the run and a bare one take turns in one process, by CPU seconds, which a
busy machine changes less. With Ray there are two actors, and the floor is two processes that train
half of the clients each, at the same time, before the run and after it: seconds by the clock, which
mean little where others use the cores. The first round is not counted.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.showing import show
from benchmarks.work import (
    RECIPE,
    Tensors,
    Work,
    in_turns,
    mean_of,
    run_rounds,
    spread,
    values_by_round,
)

# isort: split
import torch
from torch import nn

from fedvlm_flwr.run_folder import RunFolder

ACTORS = 2
Row = dict[str, Any]


class Bare:
    """The bare loop: federated averaging of clients that are trained one after the other."""

    def __init__(self, work: Work, clients: Iterable[int]) -> None:
        self.work = work
        self.clients = list(clients)
        self.weights = work.initial
        self.losses: list[dict[int, float]] = []

    def prepare(self, rounds: int) -> None:
        """Have tokens and features at hand."""
        for number in range(1, rounds + 1):
            for client in self.clients:
                batches = self.work.draws(number, client)
                for batch in batches:
                    self.work.encoded(batch)
                    self.work.model.features([p for one in batch for p in one.images])

    def round(self, number: int, clock: Callable[[], float]) -> float:
        """Train all clients; the seconds of their steps."""
        seconds, results, losses = 0.0, [], {}
        for client in self.clients:
            spent, losses[client] = self._train(number, client, clock)
            seconds += spent
            after: Tensors = {n: p.detach().clone() for n, p in self.work.parameters.items()}
            results.append((self.work.weight(client), after))
        self.weights = mean_of(results)
        self.losses.append(losses)
        return seconds

    def _train(self, number: int, client: int, clock: Callable[[], float]) -> tuple[float, float]:
        work, train = self.work, self.work.config.train
        vlm, parameters = work.model.vlm, list(work.parameters.values())
        with torch.no_grad():
            for name, parameter in work.parameters.items():
                parameter.copy_(self.weights[name])
        ready = []
        for batch in work.draws(number, client):
            pictures = [p for one in batch for p in one.images]
            ready.append((list(work.model.features(pictures)), work.encoded(batch)))
        torch.manual_seed(work.seed(number, client))
        vlm.module.train()
        losses = []
        began = clock()
        optimizer = work.optimizer(parameters, number)
        for features, rows in ready:
            optimizer.zero_grad(set_to_none=True)
            loss = vlm.loss(features, rows)
            loss.backward()
            if train.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(parameters, train.max_grad_norm)
            optimizer.step()
            losses.append(loss.detach())
        values = torch.stack(losses).tolist()
        return clock() - began, statistics.mean(values)


def in_process(words: list[str], rounds: int, folder: Path) -> Row:
    """Rounds of a run and bare ones in turns."""
    work = Work(words)
    bare = Bare(work, work.clients())
    bare.prepare(rounds)
    ours, floor, result = in_turns(words, folder, lambda n: bare.round(n, time.process_time))
    return row(ours, floor, len(bare.clients), result, bare)


def on_ray(words: list[str], rounds: int, folder: Path) -> Row:
    """A run's rounds between those of two bare processes."""
    before = two_processes(words, rounds)
    seconds, result = run_rounds(words, folder)
    after = two_processes(words, rounds)
    floor = [statistics.mean(pair) for pair in zip(before, after, strict=True)]
    work = Work(words)
    bare = Bare(work, work.clients())
    bare.prepare(1)
    bare.round(1, time.monotonic)
    return row(seconds, floor, len(bare.clients), result, bare)


def two_processes(words: list[str], rounds: int) -> list[float]:
    """Seconds of rounds of which each process trains its part of the clients."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(ACTORS), context.Queue()
    children = [
        context.Process(target=child, args=(words, rounds, part, barrier, queue))
        for part in range(ACTORS)
    ]
    for process in children:
        process.start()
    parts = [queue.get() for _ in children]
    for process in children:
        process.join()
    return [max(seconds) for seconds in zip(*parts, strict=True)]


def child(words: list[str], rounds: int, part: int, barrier: Any, queue: Any) -> None:
    """One of the bare processes."""
    work = Work(words)
    bare = Bare(work, list(work.clients())[part::ACTORS])
    bare.prepare(rounds)
    seconds = []
    for number in range(1, rounds + 1):
        barrier.wait()
        seconds.append(bare.round(number, time.monotonic))
    queue.put(seconds)


def row(ours: list[float], floor: list[float], clients: int, folder: RunFolder, bare: Bare) -> Row:
    """What came of a run beside the floor, without the first round; its phases by cost.json."""
    ratios = [one / base for one, base in zip(ours[1:], floor[1:], strict=True)]
    differences = [
        abs(values_by_round(folder, f"client:{client}", "loss")[number] - loss)
        for number, losses in enumerate(bare.losses, 1)
        for client, loss in losses.items()
    ]
    phases = folder.cost()["seconds"]
    return {
        "ratio": statistics.median(ours[1:]) / statistics.median(floor[1:]),
        "ratios": ratios,
        "run": spread([one / clients for one in ours[1:]]),
        "bare": spread([one / clients for one in floor[1:]]),
        "largest_difference_of_losses": max(differences),
        "phases": {key: phases[key] for key in ("rounds", "waiting", "local_training")},
    }


def measure(engine: str, clients: int, times: int, *more: str) -> Row:
    """The overhead of an engine, with further overrides of the recipe."""
    rounds = times + 1
    words = [*RECIPE, f"engine={engine}", f"num_rounds={rounds}", f"num_clients={clients}", *more]
    way = in_process if engine == "inprocess" else on_ray
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        return way(words, rounds, Path(folder))


def table(rows: dict[str, Row]) -> str:
    """Seconds of a client's round, bare and in a run."""
    lines = ["| engine | bare s | run s | ratio | of rounds | losses differ by |"]
    lines.append("|---|---:|---:|---:|---|---:|")
    for engine, one in rows.items():
        turns = f"{min(one['ratios']):.3f} to {max(one['ratios']):.3f}"
        lines.append(
            f"| {engine} | {one['bare']['median']:.3f} | {one['run']['median']:.3f} | "
            f"{one['ratio']:.3f} | {turns} | {one['largest_difference_of_losses']:.1e} |"
        )
    for engine, one in rows.items():
        phases = ", ".join(f"{key} {value:g} s" for key, value in one["phases"].items())
        lines.append(f"\n{engine}, by cost.json over all rounds: {phases}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=["inprocess", "ray"])
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    rows = {
        engine: measure(engine, options.clients, options.times, *options.overrides)
        for engine in options.engines
    }
    show(table(rows), rows, options.out)


if __name__ == "__main__":
    main()
