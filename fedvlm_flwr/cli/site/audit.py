"""Print the site's log: each message that came and that went, and what was decided.

usage: fedvlm site audit [state-dir=FOLDER] [run=NUMBER]

    state-dir  as in the SuperNode's node-config (default: the cache folder's `clients`)
    run        the number of one run, as `flwr list` shows it (default: all)

A line is a message: when, which way, of which run and round, what kind, its bytes, how many arrays
it holds, what the site decided, and its values. The names of the arrays stand in the file itself,
`audit.jsonl`, a line of JSON for each message.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.paths import client_states

COLUMNS = ("time", "way", "run", "round", "kind", "bytes", "arrays", "decision", "values")


def main(arguments: list[str]) -> int:
    """Read the log and print it."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    from client_app.audit import entries

    words = read_words(arguments, "state-dir", "run")
    folder = Path(words.get("state-dir", client_states())).expanduser()
    run = words.get("run")
    print(as_text(entry for entry in entries(folder) if run in (None, entry["run"])))
    return 0


def as_text(log: Iterable[Mapping[str, Any]]) -> str:
    """The table; its last column is as long as it has to be."""
    rows = [COLUMNS, *map(cells, log)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """A message's row."""
    arrays = sum(len(names) for names in entry["arrays"].values())
    values = (
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}"
        for record in entry["values"].values()
        for key, value in record.items()
    )
    words = [entry["words"]] if "words" in entry else []
    return (
        entry["time"][:19].replace("T", " "),
        entry["way"],
        entry["run"],
        entry["round"] or "-",
        entry["kind"],
        f"{entry['bytes']:,}",
        f"{arrays:,}",
        entry.get("decision", ""),
        " ".join([*values, *words]),
    )
