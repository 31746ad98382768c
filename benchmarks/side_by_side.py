"""All benchmarks that a CPU can run, side by side: one table, and one file of ratios.

    python benchmarks/side_by_side.py [--times 5] [--parts PART ...] [--pfl-python PYTHON]
                                      [--make-run] [--out docs/results]

`make bench` runs it. Each part is written into build/bench when it is done, and the results are
made of all that lie there: `--parts` measures some of them anew. performance.json has the medians
by name, null for what was not measured; performance.md has the machine, the spread and the aims.
`--make-run` times `make run` in fresh clones, some minutes each.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts import PARTS, ROOT, Line

# isort: split
import torch

from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.surroundings import device_name

PACKAGES = ("flwr", "ray", "torch", "transformers", "peft", "numpy")


def main() -> None:
    """Measure, then write what lies there by now."""
    parts = {part.__name__: part for part in PARTS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--parts", nargs="*", choices=parts, default=list(parts))
    parser.add_argument("--pfl-python", type=Path)
    parser.add_argument("--make-run", action="store_true")
    parser.add_argument("--raw", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    options = parser.parse_args()
    options.raw.mkdir(parents=True, exist_ok=True)
    for name in options.parts:
        began = time.monotonic()
        lines = [asdict(line) for line in parts[name](options)]
        facts = {"lines": lines, "load": os.getloadavg()[0], "seconds": time.monotonic() - began}
        write_atomic(options.raw / f"{name}.json", json.dumps(facts, indent=1) + "\n")
        print(f"{name}: {facts['seconds']:.0f} s", flush=True)
    results = {name: read(options.raw / f"{name}.json") for name in parts}
    options.out.mkdir(parents=True, exist_ok=True)
    text = page(results)
    write_atomic(options.out / "performance.json", json.dumps(flat(results), indent=2) + "\n")
    write_atomic(options.out / "performance.md", text)
    print(text)


def read(path: Path) -> dict[str, Any]:
    """A part's lines; none where it was never measured."""
    if not path.exists():
        return {"lines": []}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    facts["lines"] = [Line(**{**line, "values": tuple(line["values"])}) for line in facts["lines"]]
    return facts


def flat(results: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """The medians by name."""
    lines = [line for part in results.values() for line in part["lines"] if line.key]
    return {line.key: None if line.value is None else round(line.value, 4) for line in lines}


def page(results: dict[str, dict[str, Any]]) -> str:
    """The table, with what it was measured on."""
    rows = ["| what | median | of repeats | aim | | |", "|---|---:|---|---|---|---|"]
    for name, part in results.items():
        rows += [row(line) for line in part["lines"]]
        if part["lines"]:
            load, seconds = part["load"], part["seconds"]
            rows.append(f"| *{name}: {seconds:.0f} s, load {load:.1f} at its end* | | | | | |")
    return "\n".join(
        (
            "# Side by side",
            "",
            "Made by `make bench` (`benchmarks/side_by_side.py`); [performance.md]"
            "(../performance.md#side-by-side) says what is compared, and where the time goes.",
            "",
            f"{os.cpu_count()} cores of {device_name(torch.device('cpu'))}, {memory():.0f} GB; "
            f"{packages()}.",
            "A load above the number of cores: others had work there at the same time.",
            "",
            *rows,
            "",
        )
    )


def row(line: Line) -> str:
    """A number's row."""
    name = f"{line.what} (`{line.key}`)" if line.key else line.what
    if line.value is None:
        return f"| {name} | - | | {line.aim} | not measured | {line.note} |"
    many = len(line.values) > 1
    spread = f"{min(line.values):.3g} to {max(line.values):.3g}, {len(line.values)}" if many else ""
    verdict = {True: "met", False: "**not met**", None: ""}[line.met]
    return f"| {name} | {line.value:.3g} | {spread} | {line.aim} | {verdict} | {line.note} |"


def memory() -> float:
    """The machine's, in GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def packages() -> str:
    """Python's version and those of what most of the time is spent in."""
    parts = (f"{name} {version(name)}" for name in PACKAGES)
    return ", ".join((f"Python {platform.python_version()}", *parts))


if __name__ == "__main__":
    main()
