"""When a run shows its first line, takes its first training step, and ends.

    python benchmarks/start.py                       # in-process and Ray, as a newcomer has it
    python benchmarks/start.py --engines inprocess --times 5

Each time is of one `fedvlm run experiment=smoke`, from the command on, with an empty cache folder
at first and a filled one after it: wall seconds, and CPU seconds of all its processes, which a
machine that is busy with others changes less. The median of `--times` runs, the smallest and the
largest.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-c", "from fedvlm_flwr.cli import main; exit(main())", "run"]
ROUND = re.compile(r"^round 1/\d+: loss .*, ([0-9.]+) s,")

Marks = dict[str, tuple[float, float]]  # wall and CPU seconds by mark


class Spent:
    """CPU seconds of a process and of all that it has started, those that have ended included."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seconds: dict[psutil.Process, float] = {}

    def now(self) -> float:
        """So far, since the last call those that began and ended in between left out."""
        for process in (self._root, *self._root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._seconds[process] = times.user + times.system
        return sum(self._seconds.values())


def run(engine: str, home: Path) -> Marks:
    """One run's marks.

    Raises:
        RuntimeError: the run failed.
    """
    environment = {**os.environ, "FEDVLM_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    began, marks = time.monotonic(), Marks()
    words = [*COMMAND, "experiment=smoke", f"engine={engine}"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        spent = Spent(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            now = time.monotonic() - began, spent.now()
            marks.setdefault("first line", now)
            if match := ROUND.match(line):  # told at the round's end, with its seconds
                marks["first training step"] = now[0] - float(match[1]), now[1]
            marks["end"] = now
    if process.returncode != 0:
        raise RuntimeError(f"the run exited with {process.returncode}")
    return marks


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=["inprocess", "ray"])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {}
    for engine in options.engines:
        with tempfile.TemporaryDirectory(prefix="start-") as folder:
            for number in range(options.times + 1):
                home = "empty" if number == 0 else "filled"
                for mark, seconds in run(engine, Path(folder)).items():
                    results.setdefault(f"{engine}, {home} cache: {mark}", []).append(seconds)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| | wall s | CPU s |\n|---|---:|---:|")
    for name, seconds in results.items():
        print(f"| {name} | {' | '.join(map(described, zip(*seconds, strict=True)))} |")
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def described(values: tuple[float, ...]) -> str:
    """The median, and where there are several the smallest and largest."""
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
