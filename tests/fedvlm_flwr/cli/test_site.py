"""`fedvlm site`: its commands, the resident process as a user starts it, the table of the log."""

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.cli.site.serve import printing
from fedvlm_flwr.plugins import available
from fedvlm_flwr.processes import free_port

COMMANDS = available("fedvlm_flwr.cli.site")


def test_the_commands_of_a_site_are_listed_and_explain_themselves(capsys):
    assert main(["site"]) == 2
    assert main(["site", "--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z]", text, re.MULTILINE)
        assert main(["site", command, "--help"]) == 0
        assert f"usage: fedvlm site {command}" in capsys.readouterr().out
    assert main(["site", "fly"]) == 1
    assert "Unknown site command 'fly'; choose one of: audit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("port=3", "'port=3' is none of what can be set here: address=..., secret=..."),
        ("secret=", "'secret=' is none of"),
        ("secret=/nowhere", "secret=/nowhere cannot be read (No such file or directory)"),
        ("secret=/dev/null", "secret=/dev/null is empty"),
        ("address=here", "address=here is no HOST:PORT"),
        ("address=here:70000", "address=here:70000 is no HOST:PORT"),
        ("address=a b:9094", "address=a b:9094 is no HOST:PORT"),
    ],
)
def test_words_that_cannot_be_used_are_named(word, why, capsys):
    assert main(["site", "serve", word]) == 1
    assert why in capsys.readouterr().err


def test_a_policy_is_checked_at_the_start(tmp_path, capsys):
    (tmp_path / "site-policy.yaml").write_text("rounds: 3")
    assert main(["site", "serve", f"state-dir={tmp_path}"]) == 1
    assert "Unknown key rounds" in capsys.readouterr().err


def test_another_flower_is_named_with_the_plain_way_out(monkeypatch, capsys):
    for name in ("flower", "loop", "task"):
        monkeypatch.delitem(sys.modules, f"fedvlm_flwr.residence.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "flwr.supercore.inflatable.inflatable_utils", None)
    assert main(["site", "serve"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Flower 1.") and "lacks what a resident process needs" in error
    assert "start the SuperNode without `--isolation process`" in error


def test_the_process_waits_for_its_supernode_past_a_proxy_and_ends_at_sigterm():
    words = [sys.executable, "-c", "from fedvlm_flwr.cli import main; raise SystemExit(main())"]
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    process = subprocess.Popen(
        [*words, "site", "serve", f"address=127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **proxy, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert "waiting for messages" in lines[0] and "no SuperNode answers" in lines[1]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", lines[0])
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert "stopped" in out and time.monotonic() - began < 10


def test_a_line_that_the_disk_does_not_take_ends_nothing(monkeypatch):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, f"no room for {text}")

    monkeypatch.setattr(sys, "stdout", Full())
    printing()("a message")


def test_the_log_is_printed_as_a_table(tmp_path, capsys):
    assert main(["site", "audit", f"state-dir={tmp_path}"]) == 1
    assert f"{tmp_path}/audit.jsonl cannot be read" in capsys.readouterr().err
    facts = {"time": "2026-11-26T21:00:00.123+00:00", "round": "2", "kind": "train", "bytes": 1234}
    arrays = {"arrays": ["a", "b"], "extra": ["a"]}
    sent = {"decision": "worked", "arrays": arrays, "values": {"metrics": {"loss": 0.51234567}}}
    failed = {"decision": "failed (data)", "words": "No picture x.", "arrays": {}, "values": {}}
    taken = {"arrays": arrays, "values": {"request": {"client": 0}}}
    lines = [("7", "taken", taken), ("7", "sent", sent), ("8", "sent", failed)]
    text = "".join(
        json.dumps({"run": run, "way": way, **facts, **more}) + "\n" for run, way, more in lines
    )
    (tmp_path / "audit.jsonl").write_text(text)
    assert main(["site", "audit", f"state-dir={tmp_path}", "run=7"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "time",
        "way",
        "run",
        "round",
        "kind",
        "bytes",
        "arrays",
        "decision",
        "values",
    ]
    assert first.split()[2:] == ["taken", "7", "2", "train", "1,234", "3", "client=0"]
    assert second.split()[2:] == [
        "sent",
        "7",
        "2",
        "train",
        "1,234",
        "3",
        "worked",
        "loss=0.512346",
    ]
    assert main(["site", "audit", f"state-dir={tmp_path}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("failed (data)  No picture x.")
    with (tmp_path / "audit.jsonl").open("a") as file:
        file.write('{"half')
    assert main(["site", "audit", f"state-dir={tmp_path}"]) == 1
    assert "Line 4 of" in capsys.readouterr().err
