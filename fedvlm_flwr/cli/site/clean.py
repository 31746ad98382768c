"""Remove what runs that have not been here for some days have left at this site.

usage: fedvlm site clean [state-dir=FOLDER] [days=30] [--dry-run]

    state-dir  as in the SuperNode's node-config (default: $FEDVLM_HOME/clients)
    days       since the run's last round here; a run that goes on later finds its state gone and
               says so
    --dry-run  only say what would be removed

A run's state is what its clients keep between rounds: control variates, private tensors. Nothing
else is touched: not the records, not the base model, not the log of `fedvlm site audit`.
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.paths import client_states
from fedvlm_flwr.report.live import size

RUN = re.compile(r"[0-9a-f]{32}")  # the id of a run, by which its state is kept
DAYS = 30
MOST_DAYS = 36_500
DAY_SECONDS = 86_400.0


def main(arguments: list[str]) -> int:
    """Remove old states.

    Raises:
        ConfigError: a word is wrong, or there is no such folder.
        RunError: a state cannot be removed.
    """
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    words = read_words([w for w in arguments if w != "--dry-run"], "state-dir", "days")
    folder = Path(words["state-dir"]).expanduser() if "state-dir" in words else client_states()
    if "state-dir" in words and not folder.is_dir():
        raise ConfigError(f"state-dir={folder} is no folder; name that of the node-config.")
    days, dry = _days(words.get("days", str(DAYS))), "--dry-run" in arguments
    freed = count = 0
    for state, age in old_states(folder, days):
        num_bytes = sum(path.lstat().st_size for path in state.rglob("*") if path.is_file())
        verb = "would remove" if dry else "removed"
        if not dry:
            _remove(state)
        print(f"{verb} {state} ({age:.0f} days old, {size(num_bytes)})")
        freed, count = freed + num_bytes, count + 1
    what = "would be freed" if dry else "freed"
    print(f"{count} states older than {days:g} days in {folder}, {size(freed)} {what}")
    return 0


def old_states(folder: Path, days: float) -> Iterator[tuple[Path, float]]:
    """The states in a folder whose last change is longer ago, and their age in days."""
    for state in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not RUN.fullmatch(state.name) or state.is_symlink() or not state.is_dir():
            continue  # a link belongs to a simulation that runs on this machine
        newest = max(path.lstat().st_mtime for path in (state, *state.rglob("*")))
        age = (time.time() - newest) / DAY_SECONDS
        if age > days:
            yield state, age


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise ConfigError(f"days={text} is no number of days; give one from 1 to {MOST_DAYS}.")
    return int(text)


def _remove(state: Path) -> None:
    try:
        shutil.rmtree(state)
    except OSError as error:
        raise RunError(
            f"{error.filename or state} cannot be removed ({error.strerror}); run this as the "
            "user of the SuperNode."
        ) from error
