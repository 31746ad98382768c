"""Seconds of a round and memory of every process against the number of registered clients.

    python benchmarks/scale.py [--clients 100 1000 10000] [--cohort 50] [--rounds 4]
                               [--engines inprocess ray] [--folder DIR] [--out FILE.json]

Each size is one `fedvlm run` of the tiny LLaVA in which `--cohort` clients take one step on one
example each round: a dataset of one picture a client is made for it, which the first engine's run
prepares. Given are, from the command on, seconds until the first round begins, seconds of a round
(median of all but the first), CPU seconds of a round of all processes together, seconds from the
last round to the end, and the most memory that a process of each kind has held (resident, MB).
Wall seconds are longer on a machine that is busy with others.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from benchmarks.showing import show
from benchmarks.watching import Watched
from deploy.loopback import fedvlm

ROUND = re.compile(r"^round (\d+)/\d+: loss .*?, ([0-9.]+) s,")
COLORS = {"red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 160, 60), "gray": (128,) * 3}
TEST = 8  # pictures
PERIOD = 0.25  # seconds between two looks at the processes

# Kinds of processes, by what their command line holds; the first that fits.
KINDS = {
    "server": "fedvlm_flwr.cli",  # its further words may hold the others' signs
    "actor": "ray::Actor",
    "Ray": "ray",
}


def make(root: Path, clients: int) -> None:
    """A table of questions about small pictures, no two alike: one a client, and some to test."""
    (root / "pictures").mkdir(parents=True)
    with (root / "questions.jsonl").open("w", encoding="utf-8") as table:
        for i in range(clients + TEST):
            name, color = list(COLORS.items())[i % len(COLORS)]
            picture = Image.new("RGB", (32, 32), color)
            picture.putpixel((i % 32, i // 32 % 32), (i % 256, i // 256 % 256, 0))
            picture.save(root / "pictures" / f"{i}.png")
            row = {"image": f"pictures/{i}.png", "question": "what color is the shape?"}
            split = "test" if i >= clients else "train"
            table.write(json.dumps({**row, "answer": name, "split": split}) + "\n")


def kind_of(words: list[str]) -> str:
    """What a process is, by its command line."""
    line = " ".join(words)
    return next((kind for kind, sign in KINDS.items() if sign in line), "others")


@contextmanager
def looked_at(watched: Watched) -> Iterator[None]:
    """Look at processes again and again while the block lasts: memory is highest in between."""
    over = threading.Event()

    def look_on() -> None:
        while not over.wait(PERIOD):
            watched.look()

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(engine: str, clients: int, root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run's numbers.

    Raises:
        RuntimeError: the run failed.
    """
    words = [
        f"engine={engine}",
        "dataset=folder",
        f"dataset.root={root}",
        "dataset.task=vqa",
        f"num_clients={clients}",
        f"clients_per_round={min(options.cohort, clients)}",
        f"num_rounds={options.rounds}",
        "train.local_steps=1",
        "train.batch_size=1",
        "eval.every=1000",
        "eval.shuffled=false",
        f"output_dir={root.parent / 'runs'}",
        *options.words,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    began, ends, spent = time.monotonic(), [], []
    with subprocess.Popen(
        fedvlm("run", *words), env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        watched = Watched(process.pid, kind_of)
        assert process.stdout is not None
        with looked_at(watched):
            for line in process.stdout:
                if match := ROUND.match(line):
                    ends.append((time.monotonic() - began, float(match[2])))
                    spent.append(watched.look())
    if process.returncode != 0:
        raise RuntimeError(f"the run with {clients} clients on {engine} failed")
    each = [after - before for before, after in itertools.pairwise(spent)]
    return {
        "start s": ends[0][0] - ends[0][1],
        "round s": statistics.median(seconds for _, seconds in ends[1:]),
        "round CPU s": statistics.median(each),
        "end s": time.monotonic() - began - ends[-1][0],
        "MB": {kind: round(memory) for kind, memory in sorted(watched.memory.items())},
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--cohort", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--engines", nargs="+", default=["inprocess", "ray"])
    parser.add_argument("--folder", type=Path, help="where datasets are made")
    parser.add_argument("--out", type=Path)
    parser.add_argument("words", nargs="*", help="further KEY=VALUE of every run")
    options = parser.parse_args()
    rows = []
    for clients in options.clients:
        with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as folder:
            root = Path(folder) / "data"
            make(root, clients)
            for engine in options.engines:
                rows.append({"engine": engine, "clients": clients})
                rows[-1] |= run(engine, clients, root, options)
                print(json.dumps(rows[-1]), flush=True)
    print(f"\n{min(options.cohort, *options.clients)} clients a round; ", end="")
    show(as_table(rows), rows, options.out)


def as_table(rows: list[dict[str, Any]]) -> str:
    """The numbers in Markdown."""
    kinds = sorted({kind for row in rows for kind in row["MB"]})
    numbers = [name for name in rows[0] if name not in ("engine", "clients", "MB")]
    heads = ["engine", "clients", *numbers, *(f"{kind} MB" for kind in kinds)]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row in rows:
        own = [f"{row[name]:.1f}" for name in numbers]
        memory = [str(row["MB"].get(kind, "")) for kind in kinds]
        lines.append([row["engine"], f"{row['clients']:,}", *own, *memory])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
