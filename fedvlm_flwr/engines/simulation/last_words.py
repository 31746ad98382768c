"""What the engine died of, picked from its log."""

import re
from pathlib import Path

LONGEST = 400  # characters
# Lines that say more than the traceback they stand in, the most telling first.
CAUSES = (
    r"No space left on device",
    r"AF_UNIX path",
    r"CUDA out of memory",
    r"ActorPool is empty",
    r"(?:Raylet|GCS|[Aa]ctor)\b.*\b(?:died|killed|is terminated)\b",
    r"[Oo]ut of memory|OutOfMemory|Cannot allocate memory",
    r"Failed to connect to (?:Ray cluster|GCS)",
    r"Permission denied|Read-only file system|Disk quota exceeded|Too many open files",
)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
PREFIX = re.compile(r"^(?:\([^()]*pid=[^()]*\)|\(raylet\)|(?:ERROR|WARNING|INFO)\s*:)\s*")
TRACEBACK = "Traceback (most recent call last):"
CHAIN = re.compile(r"The above exception was the direct cause|During handling of the above")


def last_words(log_file: Path, start: int) -> str:
    """The line of a log that tells best what went wrong, plain and on one line; or nothing.

    A line of a known cause is taken before the exception that the last traceback begins with.

    Args:
        start: bytes of the log that are of earlier runs.
    """
    with log_file.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", errors="replace")
    lines = [_plain(line) for line in text.splitlines()]
    for cause in CAUSES:
        for line in reversed(lines):
            if re.search(cause, line):
                return line.strip()[:LONGEST]
    return _exception(lines)[:LONGEST]


def _plain(line: str) -> str:
    """A line without colours, the process that wrote it, and its level."""
    text = COLORS.sub("", line)
    while match := PREFIX.match(text):
        text = text[match.end() :]
    return text


def _exception(lines: list[str]) -> str:
    """The exception that the last chain of tracebacks begins with: the others follow from it."""
    first, inside, linked = "", False, False
    for line in lines:
        if line.strip() == TRACEBACK:
            inside = True
        elif CHAIN.search(line):
            linked = True
        elif inside and line and not line[0].isspace():
            first = first if linked else line.strip()
            inside = linked = False
    return first
