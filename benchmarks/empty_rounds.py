"""Rounds whose clients do nothing: what is left is the framework. Ours, stock Flower, and `pfl`.

    python benchmarks/empty_rounds.py [--numbers 10000 4000000 20000000] [--clients 10 100 1000]
                                      [--most 2e9] [--times 5] [--pfl-python PYTHON] [--out FILE]

A client reads its arrays and sends them back. Ours are FedAvg under our round loop; stock Flower is
its own FedAvg under its own `start`; both in our in-process engine, and each in its own engine on
Ray, with one actor for each core: in ours, and in Flower's simulation. `pfl` is Apple's simulator
in one process, with the model's difference as a client's statistics; `--pfl-python` is the Python
of an environment that has it (`pip install "pfl[pytorch]"`). Each line is of a process of its own,
with a first round that is not counted. Combinations of more numbers than `--most` are left out:
stock Flower holds all replies.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks import empty_apps
from benchmarks.server_memory import peak_megabytes
from benchmarks.showing import show
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.actors.environment import FIXED
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.engines.ray import ray_grid
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.temporary import temporary_folder
from strategies import load_strategy
from strategies.core.events import Callback, Round
from strategies.core.federation import Federation
from strategies.core.loop import RoundLoop

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = ("ours, in process", "stock, in process", "ours, Ray", "stock, Ray", "pfl")
RESULT = "result: "
Result = TypeVar("Result")
Marks = list[tuple[float, float]]
Row = dict[str, Any]


class Clock(Callback):
    """The time at which each of our rounds begins."""

    def __init__(self) -> None:
        self.marks: Marks = []

    def on_round_start(self, account: Round) -> None:
        """Note it."""
        self.marks.append(now())


class ClockedFedAvg(FedAvg):
    """Stock Flower's, which notes when each of its rounds begins."""

    def __init__(self, clients: int) -> None:
        super().__init__(fraction_evaluate=0.0, min_available_nodes=clients)
        self.marks: Marks = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note it."""
        self.marks.append(now())
        return super().configure_train(server_round, arrays, config, grid)


def now() -> tuple[float, float]:
    """By the clock, and CPU seconds of this process."""
    return time.monotonic(), time.process_time()


def run_ours(grid: Grid, numbers: int, clients: int, rounds: int) -> Marks:
    """Our loop's rounds."""
    federation = Federation(clients, max_weight_share=10.0)
    strategy = load_strategy(compose({}).algorithm, federation)
    clock = Clock()
    RoundLoop(strategy, grid, callback=clock).run(pack(empty_apps.weights(numbers)), rounds)
    return [*clock.marks, now()]


def run_stock(grid: Grid, numbers: int, clients: int, rounds: int) -> Marks:
    """Stock Flower's rounds."""
    strategy = ClockedFedAvg(clients)
    tensors = empty_apps.weights(numbers).items()
    initial = ArrayRecord({name: Array.from_numpy_ndarray(values) for name, values in tensors})
    strategy.start(grid, initial, num_rounds=rounds, timeout=3600)
    return [*strategy.marks, now()]


def measure(system: str, numbers: int, clients: int, rounds: int) -> Row:
    """A system's rounds in this process, the first one left out."""
    mine = system.startswith("ours")
    work: Callable[..., Marks] = run_ours if mine else run_stock
    app = empty_apps.ours if mine else empty_apps.stock
    if system == "ours, Ray":
        ours = App("", "benchmarks.empty_apps:ours")
        with (
            temporary_folder() as folder,
            ray_grid(ours, {}, compose({}).engine, clients, folder / "log") as grid,
        ):
            marks = work(grid, numbers, clients, rounds)
    elif system.endswith("Ray"):
        marks = on_ray(app, clients, lambda grid: work(grid, numbers, clients, rounds))
    else:
        marks = work(InProcessGrid(app, {}, clients), numbers, clients, rounds)
    pairs = list(pairwise(marks[1:]))
    return {
        "seconds": [b[0] - a[0] for a, b in pairs],
        "cpu": [b[1] - a[1] for a, b in pairs],
        "megabytes": peak_megabytes(),
    }


def on_ray(app: Any, clients: int, work: Callable[[Grid], Result]) -> Result:
    """What comes of rounds on Flower's simulation; server and engine are this process."""
    from flwr.simulation import run_simulation

    server, results = ServerApp(), list[Result]()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(work(grid))

    resources = {"num_cpus": 1, "num_gpus": 0.0}
    run_simulation(server, app, clients, backend_config={"client_resources": resources})
    return results[0]


def in_a_process(system: str, numbers: int, clients: int, rounds: int, pfl: Path | None) -> Row:
    """A system's rounds in a process of its own.

    Raises:
        RuntimeError: it failed; the end of what it said.
    """
    words = [str(numbers), str(clients), str(rounds)]
    command = [sys.executable, __file__, "--one", system, *words]
    if system == "pfl":
        command = [str(pfl), str(ROOT / "benchmarks" / "empty_pfl.py"), *words]
    done = subprocess.run(
        command, env={**os.environ, **FIXED}, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
    if done.returncode != 0 or not lines:
        raise RuntimeError(f"{system} failed: {(done.stdout + done.stderr)[-2000:]}")
    row: Row = json.loads(lines[-1].removeprefix(RESULT))
    return row


def combinations(numbers: list[int], clients: list[int], most: float) -> Iterator[tuple[int, int]]:
    """Sizes that are not too large together."""
    return ((n, c) for n in numbers for c in clients if n * c <= most)


def table(rows: list[Row]) -> str:
    """Median, smallest and largest of the seconds of a round."""
    lines = ["| system | numbers | clients | s a round | of rounds | CPU s | peak MB |"]
    lines.append("|---|---:|---:|---:|---|---:|---:|")
    for row in rows:
        name = f"| {row['system']} | {row['numbers']:,} | {row['clients']:,} |"
        if "left_out" in row:
            lines.append(f"{name} {row['left_out']} | | | |")
            continue
        seconds = row["seconds"]
        spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
        middle, cpu = statistics.median(seconds), statistics.median(row["cpu"])
        lines.append(f"{name} {middle:.3f} | {spread} | {cpu:.3f} | {row['megabytes']:.0f} |")
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> list[Row]:
    """Every system at every size."""
    rows: list[Row] = []
    for numbers, clients in combinations(options.numbers, options.clients, options.most):
        for system in options.systems:
            row = {"system": system, "numbers": numbers, "clients": clients}
            if system == "pfl" and options.pfl_python is None:
                rows.append(row | {"left_out": "no --pfl-python"})
                continue
            words = (system, numbers, clients, options.times + 1)
            rows.append(row | in_a_process(*words, options.pfl_python))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, nargs="+", default=[10_000, 4_000_000, 20_000_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--most", type=float, default=4e8)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--pfl-python", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measure and print a table."""
    options = parser().parse_args()
    if options.one:
        system, *words = options.one
        print(RESULT + json.dumps(measure(system, *map(int, words))), flush=True)
        return
    rows = compare(options)
    show(table(rows), rows, options.out)


if __name__ == "__main__":
    main()
