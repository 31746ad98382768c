"""A run's growing page on the loopback address, for as long as the run goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fedvlm_flwr.errors import ConfigError, FedVLMError
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.headlines import settings_of
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.render import render
from fedvlm_flwr.report.page.writing import sections_of
from fedvlm_flwr.report.time_left import TimeLeft
from fedvlm_flwr.run_folder import METRICS, PROGRESS, RunFolder

HOST = "127.0.0.1"
REFRESH = 5  # seconds after which a browser asks again
STATUS = "@status@"  # stands for the line that changes with every request


class GrowingPage:
    """The page of a run folder, drawn anew when there are new numbers.

    Attributes:
        ended: whether the run is over: browsers need not ask again.
        asked_at: when a browser asked last, on the monotonic clock; None: none has.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._key: tuple[int, bool] | None = None
        self._text = ""
        self.ended = False
        self.asked_at: float | None = None
        self.last_seen = False

    def text(self) -> str:
        """The page as it is now."""
        with self._lock:  # one drawing at a time: the run needs the processor
            ended = self.ended
            key = self._folder.size(METRICS), ended
            if key != self._key:
                self._text, self._key = self._page(ended), key
            self.asked_at = time.monotonic()
            self.last_seen = ended
            return self._text.replace(STATUS, escape(self._status(ended)))

    def _page(self, ended: bool) -> str:
        lines = tuple(self._folder.lines(METRICS))
        run = History(self._folder.path.name, self._folder, settings_of(self._folder), lines)
        experiment = Experiment(self._folder.path, [run])
        sections = sections_of(experiment, growing=True)
        return render(experiment, sections, STATUS, 0 if ended else REFRESH)

    def _status(self, ended: bool) -> str:
        left, events = TimeLeft(), list(self._folder.lines(PROGRESS))
        for event in events:
            left.take(event)
        if ended:
            failed = bool(events) and events[-1]["event"] == "error"
            return str(events[-1]["message"]) if failed else "The run has ended."
        place = f"{left.round} of {left.rounds} rounds are done" if left.rounds else "starting"
        return ", ".join(filter(None, (place, left.words)))


class _Server(ThreadingHTTPServer):
    """Knows its page, and does not wait for browsers."""

    daemon_threads = True
    page: GrowingPage


class _Handler(BaseHTTPRequestHandler):
    """Answers with the page, to this machine's own browsers alone."""

    server: _Server

    def do_GET(self) -> None:
        """The page, or why there is none."""
        name = (self.headers.get("Host") or "").rpartition(":")[0]
        if name not in (HOST, "localhost"):  # somebody's web page asks under a name of its own
            self.send_error(403)
            return
        if self.path != "/":
            self.send_error(404)
            return
        try:
            text = self.server.page.text()
        except FedVLMError as error:
            self.send_error(500, explain=str(error))
            return
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is the run's."""


@contextmanager
def serving(folder: RunFolder, port: int | None) -> Iterator[str]:
    """Serve a run's page while the block lasts; yields its address.

    Who is watching when it ends gets the last state before the server goes.

    Raises:
        ConfigError: the port is taken.
    """
    page = GrowingPage(folder)
    try:
        server = _Server((HOST, port or 0), _Handler)
    except OSError as error:
        raise ConfigError(
            f"report.port={port} cannot be served on ({error.strerror}); choose another, or null "
            "for a free one."
        ) from error
    server.page = page
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        page.ended = True
        _wait_for_watchers(page)
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_for_watchers(page: GrowingPage) -> None:
    """Until a browser that asks every few seconds has the last state; no browser, no waiting."""
    asked_at = page.asked_at
    if asked_at is None or time.monotonic() - asked_at > 2 * REFRESH:
        return
    deadline = time.monotonic() + 2 * REFRESH
    while not page.last_seen and time.monotonic() < deadline:
        time.sleep(0.05)
