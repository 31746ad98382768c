"""No byte that leaves a real site holds anything of a record, a path or a host."""

import json
import platform
from pathlib import Path

import pytest

from deploy.loopback import Server, Site, run, started
from deploy.trial_data import WORDS
from tests.deployment.fleet_only import fleet_only
from tests.layout import picture

pytestmark = pytest.mark.slow

MARK = "MrsJaneRoe19510203"
LONG = 6  # letters
WORD = "purple"  # an answer, which a model may say but no message may hold


def records(folder: Path) -> Path:
    """Twenty records with the marker in ids, paths, questions and answers."""
    rows = []
    for i in range(20):
        picture(folder / MARK / f"scan_{i}.png", (10 * i, 0, 0), (32, 32))
        rows.append(
            {
                "id": f"{MARK}-{i}",
                "image": f"{MARK}/scan_{i}.png",
                "question": f"what color has {MARK} here?",
                "answer": f"{WORD} {MARK}",
            }
        )
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_of_a_run_that_ends_well_and_of_one_with_a_damaged_picture(
    server: Server, tmp_path: Path
) -> None:
    sent: list[bytes] = []
    folder = records(tmp_path / f"data_{MARK}")
    states = tmp_path / f"states_{MARK}"
    config = f'site="north" data-root="{folder}" state-dir="{states}"'
    words = ("experiment=smoke", *WORDS, "num_clients=1", "num_rounds=1", "eval.every=9")
    allow = "dataset.allow_unknown_words=true"
    with (
        fleet_only(server, sent) as address,
        started(Site(server, "north", config, resident=True, superlink=address)),
    ):
        good = run(server, *words, allow, name="good")
        for path in (folder / MARK).glob("*.png"):
            path.write_bytes(b"no image: " + MARK.encode())
        bad = run(server, *words, allow, "num_rounds=2", name="bad")
    assert good.status == 0, good.output
    assert bad.status == 1 and "(code data; see the client's log)" in bad.output, bad.output
    everything = b"".join(sent)
    assert b"vqa/accuracy" in everything and b"north" in everything, "what is sent can be read"
    secrets = [MARK, WORD, str(tmp_path)]
    if len(platform.node()) >= LONG:  # a shorter name stands in the bytes of tensors by chance
        secrets.append(platform.node())
    assert [word for word in secrets if word.encode() in everything] == []
    log = (states / "audit.jsonl").read_text(encoding="utf-8")
    assert MARK in log, "what went wrong in words stays at the site, in its own log"
