"""Show a run's progress while it goes on, from the events in its folder."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.live import LiveView
from fedvlm_flwr.run_folder import PROGRESS, RunFolder

POLL_SECONDS = 0.2


@contextmanager
def following(folder: RunFolder, console: Console | None = None) -> Iterator[None]:
    """Show events as they are written, until the block ends and all of them are told.

    Works for every engine, since it reads the folder and not the process.

    Raises:
        RunError: the progress of a run that went well could not be shown to its end.
    """
    end = threading.Event()
    failures: list[Exception] = []

    def follow(position: int) -> None:
        try:
            _follow(folder, position, view, end)
        except Exception as error:  # a thread's exception reaches nobody; told below
            failures.append(error)

    with LiveView(console) as view:
        position = folder.size(PROGRESS)  # what a run that is resumed has told before
        thread = threading.Thread(target=follow, args=(position,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
    if failures:
        error = failures[0]
        raise RunError(
            f"The run's progress could not be shown ({type(error).__name__}: {error}); the run "
            f"itself is whole, in {folder.path}."
        ) from error


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
