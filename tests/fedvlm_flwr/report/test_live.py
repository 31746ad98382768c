"""Events as lines for people."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from fedvlm_flwr.report.live import LiveView, plain_line, size

PLACE = {"stage": 0, "round": 3, "rounds": 8}
LINES: list[tuple[dict[str, Any], str | None]] = [
    (
        {"event": "prepare", "what": "tiny_llava", "done": 0, "total": 1000},
        "preparing tiny_llava (1000 steps, once; it is cached)",
    ),
    ({"event": "prepare", "what": "tiny_llava", "done": 7, "total": 1000}, None),
    (
        {"event": "prepared", "what": "tiny_llava", "seconds": 61.6},
        "prepared tiny_llava in 62 s",
    ),
    ({"event": "start", "what": "fedavg on easyvqa"}, "fedavg on easyvqa"),
    ({"event": "round_start", **PLACE, "clients": 8}, None),
    ({"event": "reply", **PLACE, "client": 5, "done": 1, "clients": 8, "failure": None}, None),
    (
        {"event": "reply", **PLACE, "client": 5, "done": 1, "clients": 8, "failure": "no disk"},
        "round 3/8: client 5 failed: no disk",
    ),
    (
        {"event": "round_end", **PLACE, "loss": 0.12345, "clients": 7, "seconds": 4.26}
        | {"bytes_down": 1_234_567, "bytes_up": 999},
        "round 3/8: loss 0.1235, 7 clients, 4.3 s, 1.2 MB down, 999 B up",
    ),
    (
        {"event": "round_end", **PLACE, "loss": 1.0, "clients": 7, "seconds": 4.0}
        | {"bytes_down": 9, "bytes_up": 9, "step_ratio": 3.456},
        "round 3/8: loss 1.0000, 7 clients, 4.0 s, 9 B down, 9 B up, server step 3.46 of the mean "
        "change",
    ),
    (
        {"event": "round_end", **PLACE, "loss": 1.0, "clients": 7, "seconds": 4.0}
        | {"bytes_down": 9, "bytes_up": 9, "step_ratio": 1.0},
        "round 3/8: loss 1.0000, 7 clients, 4.0 s, 9 B down, 9 B up",
    ),
    ({"event": "evaluating", "what": "test set", "done": 3, "total": 9}, None),
    (
        {"event": "evaluated", **PLACE, "what": "test set", "seconds": 2.04}
        | {"scores": {"vqa": 0.93, "detection": 0.5}},
        "round 3/8: test set: vqa 0.930, detection 0.500 (2.0 s)",
    ),
    ({"event": "end", "table": "a  b", "folder": "/runs/x"}, "\na  b\nrun folder: /runs/x"),
    ({"event": "error", "message": "no model"}, "error: no model"),
    ({"event": "of a later version"}, None),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_line_of_event(event: dict[str, Any], line: str | None) -> None:
    assert plain_line(event) == line


def test_second_stage_is_named() -> None:
    event = {"event": "reply", "client": 0, "failure": "x", "stage": 1, "round": 2, "rounds": 4}
    assert plain_line(event) == "stage 2, round 2/4: client 0 failed: x"


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1549, "1.5 kB"),
        (2_500_000, "2.5 MB"),
        (7_000_000_000, "7.0 GB"),
        (1_234_000_000_000, "1234.0 GB"),
    ],
)
def test_size(num_bytes: float, words: str) -> None:
    assert size(num_bytes) == words


@pytest.mark.parametrize(("num_bytes", "words"), [(999_960, "1.0 MB"), (999_999_999, "1.0 GB")])
def test_size_takes_the_next_unit_where_rounding_leads_there(num_bytes: float, words: str) -> None:
    assert size(num_bytes) == words


def told(*events: dict[str, Any], terminal: bool = False) -> str:
    text = StringIO()
    with LiveView(Console(file=text, width=60, force_terminal=terminal)) as view:
        for event in events:
            view.show(event)
    return text.getvalue()


def test_view_prints_lines_and_leaves_errors_to_the_end_of_the_program() -> None:
    events = [event for event, _ in LINES]
    lines = [line for event, line in LINES if line is not None and event["event"] != "error"]
    assert told(*events) == "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text", ["[red]no[/red] [0, 1]", "at loader.py:100: bad", ":x: :warning:", "long " * 40 + "end"]
)
def test_view_prints_text_as_it_is(text: str) -> None:
    assert told({"event": "start", "what": text}) == f"{text}\n"


def test_view_on_a_terminal_shows_lines_and_survives_every_event() -> None:
    text = told(*(event for event, _ in LINES), terminal=True)
    assert "prepared tiny_llava in 62 s" in text
    assert "error: no model" not in text


def test_the_bar_of_rounds_says_how_long_the_run_still_takes() -> None:
    start = {"event": "round_start", **PLACE, "clients": 8}
    end = {"event": "round_end", **PLACE, "loss": 1.0, "clients": 7, "seconds": 40.0}
    end |= {"bytes_down": 9, "bytes_up": 9}
    assert "left" not in told(start, terminal=True)
    text = told(start, end, terminal=True)  # round 3 of 8
    assert "about 3 min 20 s left" in text
