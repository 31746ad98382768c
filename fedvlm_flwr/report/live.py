"""Progress for people: each event as a plain line, or as a live display on a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fedvlm_flwr.report.time_left import TimeLeft

Event = Mapping[str, Any]

PLACES = {"server": "", "clients": "mean of the clients, ", "sites": "all sites, "}


def plain_line(event: Event) -> str | None:
    """The line that tells an event; None for those that only move a bar."""
    match event["event"]:
        case "prepare" if event["done"] == 0:
            return f"preparing {event['what']} ({event['total']} steps, once; it is cached)"
        case "prepared":
            return f"prepared {event['what']} in {event['seconds']:.0f} s"
        case "start":
            return f"{event['what']}"
        case "warning":
            return f"warning: {event['message']}"
        case "sites":
            return f"sites: {event['what']}"
        case "resumed":
            return f"going on after round {event['round']} ({event['folder']})"
        case "reply" if event["failure"]:
            who = event.get("site") or f"client {event['client']}"
            return f"{_round(event)}: {who} failed: {event['failure']}"
        case "limited":
            return f"{_round(event)}: {event['message']}"
        case "round_end":
            return (
                f"{_round(event)}: loss {event['loss']:.4f}, {event['clients']} clients, "
                f"{event['seconds']:.1f} s, {size(event['bytes_down'])} down, "
                f"{size(event['bytes_up'])} up{_step(event.get('step_ratio'))}"
            )
        case "evaluated":
            scores = ", ".join(f"{name} {value:.3f}" for name, value in event["scores"].items())
            where = PLACES.get(event.get("where", "server"), f"{event.get('where')}, ")
            return f"{_round(event)}: {where}{event['what']}: {scores} ({event['seconds']:.1f} s)"
        case "end":
            return f"\n{event['table']}\nrun folder: {event['folder']}"
        case "error":
            return f"error: {event['message']}"
    return None


def _step(ratio: float | None) -> str:
    """A server's step that is not the clients' mean change, as the end of a line."""
    text = "" if ratio is None else f"{ratio:.2f}"
    return f", server step {text} of the mean change" if text not in ("", "1.00") else ""


def _round(event: Event) -> str:
    stage = f"stage {event['stage'] + 1}, " if event.get("stage") else ""
    return f"{stage}round {event['round']}/{event['rounds']}"


def size(num_bytes: float) -> str:
    """Bytes in words, powers of ten."""
    units = ("B", "kB", "MB", "GB")
    power = 0
    while power < len(units) - 1 and round(num_bytes / 1000**power, 1) >= 1000:
        power += 1
    return f"{num_bytes / 1000**power:.{1 if power else 0}f} {units[power]}"


class LiveView:
    """Shows events: bars below plain lines on a terminal, plain lines alone elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        count = TextColumn("{task.completed:.0f}/{task.total:.0f}")
        columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._bars: dict[str, Any] = {}
        self._left = TimeLeft()

    def __enter__(self) -> "LiveView":
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def show(self, event: Event) -> None:
        """Tell one event; an error is left to whoever ends the program with it."""
        line = plain_line(event) if event["event"] != "error" else None
        if line is not None:
            self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._left.take(event)
        if self._console.is_terminal:
            self._move(event)

    def _move(self, event: Event) -> None:
        match event["event"]:
            case "prepare":
                self._bar("prepare", f"preparing {event['what']}", event["done"], event["total"])
            case "prepared":
                self._drop("prepare")
            case "round_start":
                self._bar("rounds", self._rounds(), event["round"] - 1, event["rounds"])
                self._bar("clients", "clients back", 0, event["clients"])
            case "reply":
                self._bar("clients", "clients back", event["done"], event["clients"])
            case "round_end":
                self._bar("rounds", self._rounds(), event["round"], event["rounds"])
                self._drop("clients")
            case "evaluating":
                self._bar("evaluating", event["what"], event["done"], event["total"])
            case "evaluated":
                self._drop("evaluating")

    def _rounds(self) -> str:
        return f"rounds, {self._left.words}" if self._left.words else "rounds"

    def _bar(self, key: str, text: str, count: int, total: int) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(text, total=total)
        self._progress.update(self._bars[key], description=text, completed=count, total=total)

    def _drop(self, key: str) -> None:
        if key in self._bars:
            self._progress.remove_task(self._bars.pop(key))
