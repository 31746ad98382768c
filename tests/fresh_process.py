"""A program that answers in a process of its own, as somebody would who has not this project."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def answers_of(
    program: Path, jobs: Sequence[Mapping[str, Any]], folder: Path | None = None
) -> Iterator[Any]:
    """What a program prints for each job that it is handed, one line of JSON each.

    Args:
        folder: in which it works; None: this one.
    """
    done = subprocess.run(
        [sys.executable, str(program)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(jobs)
    return map(json.loads, lines)
