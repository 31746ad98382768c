"""The server's test questions answered by the server alone, and by Ray's client processes.

    python benchmarks/spreading.py [--pictures 200] [--rounds 4] [--turns 3] [--out FILE.json]

Runs on Ray without and with `eval.spread` take turns; after each round the whole test set is
answered. Seconds are by the clock, of each evaluation but a run's first, in which pictures are
encoded; given are medians, smallest and largest. Both ways have all cores: the server's threads
(`eval.threads`) are as many as there are, and so are the client processes.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
from benchmarks.showing import show
from fedvlm_flwr import run
from fedvlm_flwr.run_folder import PREDICTIONS, PROGRESS, RunFolder

WORDS = ("experiment=smoke", "engine=ray", "eval.max_examples=null", "eval.shuffled=false")
WAYS = {"the server": "false", "client processes": "true"}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = measure(options.pictures, options.rounds, options.turns)
    show(table(rows), rows, options.out)


def measure(pictures: int, rounds: int, turns: int) -> dict[str, Any]:
    """Seconds of evaluations by each way, and of how many predictions they were."""
    words = [*WORDS, f"dataset.test_pictures={pictures}", f"num_rounds={rounds}"]
    words += [f"eval.threads={os.cpu_count()}", "train.local_steps=1"]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    predictions: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="spreading-") as folder:
        for turn in range(turns):
            for number, (way, spread) in enumerate(WAYS.items()):
                name = f"{turn}-{number}"
                result = run(*words, f"eval.spread={spread}", output_dir=folder, run_name=name)
                seconds[way] += evaluations(RunFolder(result.path))
                predictions[way] = (result.path / PREDICTIONS).read_bytes()
    lines = [each.splitlines() for each in predictions.values()]
    return {
        "seconds": seconds,
        "questions": len(lines[0]) // (rounds + 1),
        "different": sum(one != other for one, other in zip(*lines, strict=True)),
    }


def evaluations(folder: RunFolder) -> list[float]:
    """Seconds of each evaluation of the test records but the first."""
    events: Any = folder.lines(PROGRESS)
    evaluated = [each for each in events if each["event"] == "evaluated"]
    return [each["seconds"] for each in evaluated if each["what"].startswith("test")][1:]


def table(rows: dict[str, Any]) -> str:
    """Both ways."""
    lines = ["| who answers | questions | s | of evaluations |", "|---|---:|---:|---|"]
    for way, seconds in rows["seconds"].items():
        least, most = min(seconds), max(seconds)
        lines.append(
            f"| {way} | {rows['questions']} | {statistics.median(seconds):.2f} | "
            f"{least:.2f} to {most:.2f}, {len(seconds)} |"
        )
    return "\n".join([*lines, f"\n{rows['different']} predictions differ"])


if __name__ == "__main__":
    main()
