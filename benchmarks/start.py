"""When a run shows its first line, takes its first training step, and ends.

    python benchmarks/start.py                       # in-process and Ray, as a newcomer has it
    python benchmarks/start.py --engines inprocess --times 5 --out start.json

Each time is of one `fedvlm run experiment=smoke`, from the command on, with an empty cache folder
at first and a filled one after it: wall seconds, and CPU seconds of all its processes, which a
machine that is busy with others changes less. The median of `--times` runs, the smallest and the
largest; and which process had used how many CPU seconds when the first round was over.

`--out` writes `start_inprocess_s` and `start_ray_s`, the median wall seconds from the command to
the first training step with a filled cache, and all times beside them.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.watching import Watched
from deploy.loopback import fedvlm

OURS = "fedvlm_flwr.cli"  # in the words of a command of ours
ROUND = re.compile(r"^round 1/\d+: loss .*, ([0-9.]+) s,")

FIRST_STEP = "first training step"
OF_RAY = ("gcs_server", "raylet", "monitor.py", "dashboard.py", "log_monitor.py")

Marks = dict[str, tuple[float, float]]  # wall and CPU seconds by mark
Parts = dict[str, float]  # CPU seconds by process


def name_of(words: list[str]) -> str:
    """What a process is, by its command line."""
    if any(OURS in word for word in words[:3]):
        return "the command"
    names = [Path(word).name for word in words[:3]]
    known = [name for name in OF_RAY if name in names]
    return known[0] if known else words[0].strip() if words and "::" in words[0] else "others"


def run(engine: str, home: Path) -> tuple[Marks, Parts]:
    """One run's marks, and what each of its processes had used after the first round.

    Raises:
        RuntimeError: the run failed.
    """
    environment = {**os.environ, "FEDVLM_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    began, marks, parts = time.monotonic(), Marks(), Parts()
    words = fedvlm("run", "experiment=smoke", f"engine={engine}")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        watched = Watched(process.pid, name_of)
        assert process.stdout is not None
        for line in process.stdout:
            now = time.monotonic() - began, watched.look()
            marks.setdefault("first line", now)
            if match := ROUND.match(line):  # told at the round's end, with its seconds
                marks[FIRST_STEP] = now[0] - float(match[1]), now[1]
                parts = watched.seconds
            marks["end"] = now
    if process.returncode != 0:
        raise RuntimeError(f"the run exited with {process.returncode}")
    return marks, parts


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=["inprocess", "ray"])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {}
    parts: dict[str, list[Parts]] = {}
    for engine in options.engines:
        with tempfile.TemporaryDirectory(prefix="start-") as folder:
            for number in range(options.times + 1):
                home = "empty" if number == 0 else "filled"
                marks, after = run(engine, Path(folder))
                parts.setdefault(engine, []).append(after)
                for mark, seconds in marks.items():
                    results.setdefault(f"{engine}, {home} cache: {mark}", []).append(seconds)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| | wall s | CPU s |\n|---|---:|---:|")
    for name, seconds in results.items():
        print(f"| {name} | {' | '.join(map(described, zip(*seconds, strict=True)))} |")
    for engine, runs in parts.items():
        print(f"\n| {engine}: after the first round | CPU s |\n|---|---:|")
        for name in sorted(runs[-1], key=lambda name: -runs[-1][name]):
            print(f"| {name} | {described(tuple(one.get(name, 0.0) for one in runs[1:]))} |")
    if options.out is not None:
        medians = {
            f"start_{engine}_s": statistics.median(
                wall for wall, _ in results[f"{engine}, filled cache: {FIRST_STEP}"]
            )
            for engine in options.engines
        }
        text = json.dumps({**medians, "times": results, "processes": parts}, indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")


def described(values: tuple[float, ...]) -> str:
    """The median, and where there are several the smallest and largest."""
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
