"""What became of a sweep's jobs, told by files: a launcher may have other processes run them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from fedvlm_flwr.paths import write_atomic

JOBS = ".jobs"  # of a sweep's folder


@dataclass(frozen=True)
class Outcome:
    """One job's end.

    Attributes:
        words: what the job was, for people.
        folder: of its run; empty: it came to none.
        error: in one sentence; empty: it was successful.
    """

    words: str
    folder: str = ""
    error: str = ""

    def write(self, folder: Path, number: int) -> None:
        """Tell it to who started the sweep."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{number:06d}.json", json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Iterator[Self]:
        """What the jobs have told, in their order; the files are gone then."""
        for path in sorted(folder.glob("*.json")):
            yield cls(**json.loads(path.read_text(encoding="utf-8")))
            path.unlink()
