"""Nothing of a record, a path or a host leaves a real site, whatever goes wrong there.

A federation of real sites in one process: a marker stands in every field of every record, in every
path and in every file's content, and each way to fail is tried. No byte of any reply and no file of
the server may hold it. The site's own log does, so that whoever runs the site can mend it.
"""

import json
import logging
import platform
import shutil
import socket
import sys
from pathlib import Path

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.logger import FLOWER_LOGGER

from client_app import worker
from client_app.app import evaluate, query, train
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.run_folder import RunFolder
from tests.layout import picture

MARK = "MrsJaneRoe19510203"
SENT: list[bytes] = []
FAULTS: dict[str, object] = {}

site = ClientApp()  # the real handlers, on nodes that are real sites
site.query()(query)


def as_site(context: Context) -> Context:
    """The same site, which keeps its state in a folder whose name holds the marker."""
    context.node_config["state-dir"] = str(Path(str(FAULTS["root"])) / f"state_{MARK}")
    return context


def noted(reply: Message) -> Message:
    """Keep every byte of a reply that could travel."""
    for name, record in reply.content.items():
        SENT.append(name.encode())
        for key, value in record.items():
            data = value.data if hasattr(value, "data") else repr(value).encode()
            SENT.extend([str(key).encode(), bytes(data)])
    if reply.has_error():
        SENT.append(str(reply.error.reason).encode())
    return reply


@site.train()
def train_at_a_site(message: Message, context: Context) -> Message:
    spoil = FAULTS.get("before")
    request = TrainRequest.unpack(message.content)
    if callable(spoil) and request.client == 1:
        spoil(message)
    return noted(train(message, as_site(context)))


@site.evaluate()
def evaluate_at_a_site(message: Message, context: Context) -> Message:
    return noted(evaluate(message, as_site(context)))


def records(root: Path) -> None:
    """Twelve records with the marker in their ids, paths, questions and answers."""
    rows = []
    for i in range(12):
        image = f"{MARK}/scan_{i}.png"
        picture(root / image, (20 * i, 0, 0), (40, 30))
        rows.append(
            {
                "id": f"{MARK}-{i}",
                "image": image,
                "question": f"what has {MARK} here?",
                "answer": f"lung {MARK}",
                "task": "vqa",
            }
        )
    text = "\n".join(json.dumps(row) for row in rows)
    (root / "questions.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def data(tmp_path):
    SENT.clear()
    FAULTS.clear()
    FAULTS["root"] = tmp_path
    for site_name in ("north", "south"):
        records(tmp_path / f"data_{MARK}" / site_name)
    return tmp_path / f"data_{MARK}"


@pytest.fixture
def log():
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage() + "".join(map(str, record.exc_info or ())))

    handler = Lines()
    FLOWER_LOGGER.addHandler(handler)
    yield lines
    FLOWER_LOGGER.removeHandler(handler)


def broken_image(message: Message, root: Path) -> None:
    for path in (root / "south" / MARK).glob("*.png"):
        path.write_bytes(b"no image: " + MARK.encode())


def missing_image(message: Message, root: Path) -> None:
    for path in (root / "south" / MARK).glob("*.png"):
        path.unlink(missing_ok=True)


def unexpected(message: Message, root: Path) -> None:
    raise_in_training(KeyError(f"{MARK} in {root}"))


def no_memory(message: Message, root: Path) -> None:
    raise_in_training(MemoryError(f"{MARK} in {root}"))


def unwritable_state(message: Message, root: Path) -> None:
    state = root.parent / f"state_{MARK}" / str(message.content["request"]["run"])
    shutil.rmtree(state, ignore_errors=True)
    state.write_text("a file where the folder should be")


def another_sites_message(message: Message, root: Path) -> None:
    message.content["request"]["client"] = 0


def raise_in_training(error: Exception) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        worker.train_locally = FAULTS["train_locally"]
        raise error

    FAULTS["train_locally"] = worker.train_locally
    worker.train_locally = failing


@pytest.mark.parametrize(
    "fault",
    [
        None,
        broken_image,
        missing_image,
        unexpected,
        no_memory,
        unwritable_state,
        another_sites_message,
    ],
    ids=lambda fault: fault.__name__ if fault else "nothing goes wrong",
)
def test_the_marker_stays_at_the_site(start, data, log, monkeypatch, fault):
    for module, function in ((platform, "node"), (socket, "gethostname")):
        monkeypatch.setattr(module, function, lambda: f"host-of-{MARK}")
    monkeypatch.setitem(sys.modules, "a_site", sys.modules[__name__])
    if fault:
        FAULTS["before"] = lambda message: fault(message, data)
    words = (
        "dataset=folder",
        "dataset.allow_unknown_words=true",
        f"engine.sites={{north: {data}/north, south: {data}/south}}",
        "privacy.min_examples=1",
        "eval.where=sites",
        "algorithm=scaffold",
        "num_clients=2",
        "num_rounds=1",
        "min_replies=1",
        "eval.shuffled=false",
    )
    folder = run(start, words)
    assert SENT, "nobody has answered"
    own = (MARK, str(data))
    assert [word for word in own if word.encode() in b"".join(SENT)] == []
    server = [path for path in folder.path.rglob("*") if path.is_file()]
    own = {"config.yaml", "run_config.json"}  # this engine's sites stand in the configuration
    texts = {path.name: path.read_bytes() for path in server if path.name not in own}
    assert [name for name, text in texts.items() if MARK.encode() in text] == []
    if fault:
        lines = [line for line in folder.lines("metrics.jsonl") if line["metric"] == "failure"]
        assert [line["where"] for line in lines] == ["client:1"]
        assert "(code " in lines[0]["value"]
        if fault not in (another_sites_message, no_memory):  # whose words hold no marker
            assert any(MARK in line for line in log), "the site's own log does not say what it was"


def run(start, words) -> RunFolder:
    try:
        return start(*words, client="a_site:site")
    except RunError as error:
        raise AssertionError(f"the run ended: {error}") from error
