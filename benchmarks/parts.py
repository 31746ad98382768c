"""The parts of `side_by_side.py`: each measures by another script's functions and gives lines."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import overhead, usual_way
from benchmarks.work import CPU, values_by_round

# isort: split
from benchmarks import empty_rounds, evaluation, local_step, server_memory, start
from fedvlm_flwr import run
from fedvlm_flwr.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
AT_MOST = "at most"  # the other kind of aim is `at least`


@dataclass(frozen=True)
class Line:
    """One measured number.

    Attributes:
        key: in performance.json; empty: it is in the table only.
        values: of the repeats, of which the median counts; none: it was not measured.
        aim: as `at most 1.05`; empty: there is none.
        note: what it is of, or why it is absent.
    """

    key: str
    what: str
    values: tuple[float, ...]
    aim: str = ""
    note: str = ""

    @property
    def value(self) -> float | None:
        """The median."""
        return statistics.median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None: there is none, or nothing was measured."""
        if not self.aim or self.value is None:
            return None
        side, _, number = self.aim.rpartition(" ")
        return self.value <= float(number) if side == AT_MOST else self.value >= float(number)


def overhead_in_process(options: argparse.Namespace) -> list[Line]:
    """In-process rounds beside the bare loop."""
    return _overhead("inprocess", "overhead_inprocess", "at most 1.05", options)


def overhead_ray(options: argparse.Namespace) -> list[Line]:
    """Rounds on Ray beside two bare processes."""
    return _overhead("ray", "overhead_ray", "at most 1.15", options)


def _overhead(engine: str, key: str, aim: str, options: argparse.Namespace) -> list[Line]:
    result = overhead.measure(engine, 4, options.times)
    phases = ", ".join(f"{name} {seconds:g} s" for name, seconds in result["phases"].items())
    note = f"losses differ by {result['largest_difference_of_losses']:.0e}; all rounds: {phases}"
    return [
        Line(key, f"a client's round by the bare loop's, {engine}", _all(result), aim, note),
        Line("", f"... its seconds, {engine}", tuple(result["run"]["all"])),
        Line("", f"... the bare loop's, {engine}", tuple(result["bare"]["all"])),
    ]


def trainer_loop(options: argparse.Namespace) -> list[Line]:
    """A loop of Trainers."""
    lines = _usual("trainer", "speedup_vs_trainer_loop", "at least 3", options)
    read = usual_way.measure("trainer", 4, options.times, reading=True)
    return [*lines, Line("", "the same, each picture read in each step", _all(read))]


def reload(options: argparse.Namespace) -> list[Line]:
    """A Flower app that loads the base on every message."""
    return _usual("flower", "speedup_vs_reload", "at least 5", options)


def _usual(way: str, key: str, aim: str, options: argparse.Namespace) -> list[Line]:
    result = usual_way.measure(way, 4, options.times)
    losses = " and ".join(f"{loss:.5f}" for loss in result["last_losses"])
    return [
        Line(key, f"a round of the usual way ({way}) by ours", _all(result), aim, f"loss {losses}"),
        Line("", f"... seconds of theirs ({way})", tuple(result["theirs"]["all"])),
        Line("", f"... seconds of ours ({way})", tuple(result["ours"]["all"])),
    ]


def _all(result: dict[str, Any]) -> tuple[float, ...]:
    return tuple(result["ratios"])


def empty_in_process(options: argparse.Namespace) -> list[Line]:
    """Empty rounds in one process, by CPU seconds."""
    lines = []
    for numbers, clients, key in (
        (10_000, 100, ""),
        (4_000_000, 10, "empty_round_vs_pfl_4m"),
        (20_000_000, 10, ""),
    ):
        size = f"{numbers:,} numbers, {clients} clients"
        ours = _empty("ours, in process", numbers, clients, options)
        theirs = _empty("stock, in process", numbers, clients, options)
        ratios = (one / statistics.median(theirs["cpu"]) for one in ours["cpu"])
        lines.append(Line("", f"an empty round by stock Flower's in process: {size}", (*ratios,)))
        what = f"an empty round by pfl's: {size}"
        aim = "at most 1" if numbers > 10_000 else ""
        if options.pfl_python is None:
            lines.append(Line(key, what, (), aim, "no --pfl-python"))
            continue
        pfl = statistics.median(_empty("pfl", numbers, clients, options)["cpu"])
        ratios = (one / pfl for one in ours["cpu"])
        note = f"{statistics.median(ours['cpu']):.3f} CPU s, pfl {pfl:.3f}"
        lines.append(Line(key, what, (*ratios,), aim, note))
    return lines


def empty_ray(options: argparse.Namespace) -> list[Line]:
    """Empty rounds on Ray, by the clock: many, since either's first ones are slower."""
    lines, options = [], argparse.Namespace(**vars(options) | {"times": 4 * options.times})
    sizes = ((10_000, 100, ""), (4_000_000, 10, "empty_round_vs_stock_ray_4m"))
    for numbers, clients, key in sizes:
        ours = _empty("ours, Ray", numbers, clients, options)["seconds"]
        stock = statistics.median(_empty("stock, Ray", numbers, clients, options)["seconds"])
        what = f"an empty round by stock Flower's on Ray: {numbers:,} numbers, {clients} clients"
        note = f"{statistics.median(ours):.3f} s, stock {stock:.3f}"
        lines.append(Line(key, what, tuple(one / stock for one in ours), "at most 0.5", note))
    return lines


def _empty(system: str, numbers: int, clients: int, options: argparse.Namespace) -> dict[str, Any]:
    rounds = options.times + 1
    return empty_rounds.in_a_process(system, numbers, clients, rounds, options.pfl_python)


def memory(options: argparse.Namespace) -> list[Line]:
    """The server's peak memory with 1,000 clients by that with 10."""
    few, many = (server_memory.peak(size, 4, "fedavg")[0] for size in (10, 1000))
    what = "the server's peak memory, 1,000 clients by 10, messages of 4 MB"
    note = f"{many:.0f} MB and {few:.0f}; no time, so measured once"
    return [Line("server_memory_1000_over_10", what, (many / few,), "at most 1.1", note)]


def answers(options: argparse.Namespace) -> list[Line]:
    """Batched answers against one by one."""
    result = evaluation.measure("tiny_llava", 200, options.times, CPU)
    note = f"{result['different']} of {result['examples']} answers differ"
    what = "answers one by one by batched, tiny_llava"
    return [Line("eval_batched_speedup", what, _all(result), "at least 5", note)]


def wire(options: argparse.Namespace) -> list[Line]:
    """Bytes of a run's last round, both ways, by those of float32."""
    words = ["experiment=smoke", "engine=inprocess", "eval.shuffled=false", "eval.every=1000"]
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        for dtype in ("float32", "bfloat16", "int8"):
            result = run(*words, f"wire.dtype={dtype}", output_dir=Path(folder), run_name=dtype)
            both_ways = (
                values_by_round(RunFolder(result.path), "server", f"bytes_{d}")
                for d in ("up", "down")
            )
            sizes[dtype] = sum(rounds[max(rounds)] for rounds in both_ways)
    once = "bytes of the last round of experiment=smoke, both ways"
    whole = sizes["float32"]
    return [
        Line("wire_bf16_ratio", "bfloat16 by float32", (sizes["bfloat16"] / whole,), note=once),
        Line("wire_int8_ratio", "int8 by float32", (sizes["int8"] / whole,), note=once),
    ]


def beginning(options: argparse.Namespace) -> list[Line]:
    """When `experiment=smoke` takes its first training step."""
    lines = []
    for engine, aim in (("inprocess", "at most 6"), ("ray", "at most 15")):
        with tempfile.TemporaryDirectory(prefix="start-") as folder:
            marks = [start.run(engine, Path(folder))[0] for _ in range(options.times + 1)][1:]
        walls, cpus = zip(*(each[start.FIRST_STEP] for each in marks), strict=True)
        note = f"CPU seconds of all processes: {statistics.median(cpus):.1f}"
        what = f"seconds to the first training step, {engine}"
        lines.append(Line(f"start_{engine}_s", what, tuple(walls), aim, note))
    return lines


def steps(options: argparse.Namespace) -> list[Line]:
    """What the local step leaves out."""
    rounds = local_step.in_turns(local_step.of_a_round(), options.times)
    whole = tuple(rounds["the whole share first"]["ratios"])
    what = "a round of 2 steps of 4 of a share of 400 pictures, the whole share encoded, by ours"
    return [Line("", what, whole)]


def make_run(options: argparse.Namespace) -> list[Line]:
    """`make run` in a fresh clone, with what pip has in its cache."""
    what = "seconds of `make run` in a fresh clone"
    if not options.make_run:
        return [Line("make_run_s", what, (), "at most 240", "without --make-run")]
    seconds = []
    for _ in range(options.times):
        with tempfile.TemporaryDirectory(prefix="clone-") as folder:
            clone = Path(folder) / "clone"
            subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)  # noqa: S607
            began = time.monotonic()
            environment = {**os.environ, "FEDVLM_HOME": f"{folder}/home"}
            environment.pop("PYTHONPATH", None)
            subprocess.run(["make", "run"], cwd=clone, env=environment, check=True)  # noqa: S607
            seconds.append(time.monotonic() - began)
    return [Line("make_run_s", what, tuple(seconds), "at most 240")]


Part = Callable[[argparse.Namespace], Sequence[Line]]
PARTS: tuple[Part, ...] = (
    overhead_in_process,
    overhead_ray,
    trainer_loop,
    reload,
    empty_in_process,
    empty_ray,
    memory,
    answers,
    wire,
    beginning,
    steps,
    make_run,
)
