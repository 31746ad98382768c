"""What a dataset takes of a client process's memory, each size in a process of its own.

    python benchmarks/data_memory.py [--sizes 250 25000] [--clients 10] [--side 224] [--folder DIR]

Makes a `dataset=folder` of so many records, each with a picture (JPEG) of its own, and goes the way
of a client: load the model, the tables and the partition, read the client's own records, check and
encode its pictures. Prints the process's resident memory in MB after each step, its peak, and how
much more the largest dataset takes than the smallest. The tables are made and checked beforehand.
"""

import argparse
import json
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
from PIL import Image


def make(root: Path, records: int, side: int) -> None:
    """A table of questions and its pictures, coarse noise that compresses like a photo."""
    (root / "pictures").mkdir(parents=True)
    draw = np.random.default_rng(0)
    with (root / "questions.jsonl").open("w", encoding="utf-8") as table:
        for i in range(records):
            coarse = draw.integers(0, 255, (side // 16, side // 16, 3), dtype=np.uint8)
            pixels = np.kron(coarse, np.ones((16, 16, 1), np.uint8))
            Image.fromarray(pixels).save(root / "pictures" / f"{i}.jpg", quality=80)
            row = {"image": f"pictures/{i}.jpg", "question": "what color is it?", "answer": "red"}
            table.write(json.dumps({**row, "task": "vqa", "site": f"s{i % 7}"}) + "\n")


def resident_mb() -> float:
    """The process's memory now."""
    return float(psutil.Process().memory_info().rss / 1e6)


def measure(root: Path, clients: int) -> None:
    """Go a client's way and print a line of JSON."""
    from client_app.worker import Worker  # what a client process imports
    from fedvlm_flwr.models.resident import choose_device
    from fedvlm_flwr.process import Process

    words = ["dataset=folder", f"dataset.root={root}", f"num_clients={clients}"]
    process = Process()
    config = process.compose({"overrides": shlex.join(words)})
    found = {"imports": resident_mb()}
    assert Worker(process)
    model = process.model(config, choose_device("cpu"))
    found["model"] = resident_mb()
    process.shares(config)
    found["tables"] = resident_mb()
    examples = process.examples_of(config, 0)
    found["records"] = resident_mb()
    model.features.encode([example.image for example in examples])
    found["features"] = resident_mb()
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"of the client": len(examples), **found}))


def main() -> None:
    """Make each dataset, measure it in a process of its own, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 25_000])
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.clients)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        results = [one(Path(folder), size, given) for size in given.sizes]
    columns = list(results[0])
    print("records  " + "  ".join(columns))
    for size, found in zip(given.sizes, results, strict=True):
        numbers = (f"{found[name]:>{len(name)}.0f}" for name in columns)
        print(f"{size:>7}  " + "  ".join(numbers))
    grown = {name: results[-1][name] - results[0][name] for name in ("records", "peak")}
    print(f"more: {grown['records']:.0f} MB with its records, {grown['peak']:.0f} MB at the peak")


def one(folder: Path, size: int, given: argparse.Namespace) -> dict[str, float]:
    """A dataset's numbers: the second process finds everything prepared."""
    root = folder / str(size)
    make(root, size, given.side)
    command = [sys.executable, __file__, "--measure", str(root), "--clients", str(given.clients)]
    for _ in range(2):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
