"""Show a run's progress while it goes on, from the events in its folder."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from fedvlm_flwr.report.live import LiveView
from fedvlm_flwr.run_folder import PROGRESS, RunFolder

POLL_SECONDS = 0.2


@contextmanager
def following(folder: RunFolder, console: Console | None = None) -> Iterator[None]:
    """Show events as they are written, until the block ends and all of them are told.

    Works for every engine, since it reads the folder and not the process.
    """
    end = threading.Event()
    with LiveView(console) as view:
        position = folder.size(PROGRESS)  # what a run that is resumed has told before
        thread = threading.Thread(target=_follow, args=(folder, position, view, end), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def _follow(folder: RunFolder, start: int, view: LiveView, end: threading.Event) -> None:
    path, position = folder.path / PROGRESS, start
    while True:
        last = end.wait(POLL_SECONDS)  # read once more after the end
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):  # still being written
                        break
                    position += len(line)
                    view.show(json.loads(line))
        if last:
            return
