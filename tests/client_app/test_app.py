"""The door: what it answers, and what a failing client says."""

import logging
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.common.logger import FLOWER_LOGGER
from flwr.supercore.task_identity import TaskIdentity

from client_app.app import app as client_app
from fedvlm_flwr.config import compose
from fedvlm_flwr.messages import Failure, RejectedMessage, SiteReply, TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.process import this_process
from fedvlm_flwr.simulation import simulating
from tests.layout import picture

HEAVY = ("torch", "transformers", "peft", "datasets")


def context(run_config=None, **node_config) -> Context:
    return Context(
        run_id=1,
        node_id=2,
        node_config=node_config,
        state=RecordDict(),
        run_config=run_config or {},
    )


def message(kind: str, content: RecordDict | None = None) -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    made = Message(content or RecordDict(), dst_node_id=2, message_type=kind)
    made.metadata.__dict__["_message_id"] = "m"
    return made


def test_importing_the_door_imports_nothing_heavy():
    script = f"import sys, client_app.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


NODE = {"partition-id": 3, "num-partitions": 8}


def test_a_simulated_node_tells_which_clients_it_serves_in_turn_and_of_their_examples():
    counts = [len(share) for share in this_process().shares(compose({}))]

    def answer(overrides="", **node_config) -> SiteReply:
        with simulating():
            return asked({"overrides": overrides}, **node_config)

    expected = SiteReply(partition=3, simulated=True, examples=(counts[3],))
    assert answer(**NODE) == expected
    third = {"partition-id": 1, "num-partitions": 3}
    assert answer(**third).examples == (counts[1], counts[4], counts[7])
    assert answer("max_weight_share=null", **NODE) == expected  # weighting=examples needs them
    assert answer("max_weight_share=null weighting=uniform", **NODE).examples == ()  # then nobody


def asked(run_config=None, **node_config) -> SiteReply:
    return SiteReply.unpack(
        client_app(message("query"), context(run_config, **node_config)).content
    )


WORDS = {  # of a node that is no simulated one
    "Flower's own keys": (NODE, "The node-config key 'num-partitions' is unknown"),
    "a number": ({"site": "a", "partition-id": 0, "data-root": "."}, "'partition-id' is unknown"),
    "a worker": ({"site": "a", "worker": "x"}, "is said by its SuperNode's --isolation"),
    "a misspelled key": ({"site": "a", "data_root": "/x"}, "'data_root' is unknown; the keys are"),
    "no name": ({"data-root": "."}, "has no site"),
    "no data": ({"site": "a"}, "has no data-root"),
    "no folder": ({"site": "a", "data-root": "/nowhere"}, "data-root=/nowhere is no folder"),
    "no models": ({"site": "a", "data-root": ".", "model-root": "/x"}, "model-root=/x is no fold"),
    "no rank": ({"site": "a", "data-root": ".", "lora-rank": 0}, "lora-rank='0' is no rank"),
    "a path as name": ({"site": "../a", "data-root": "."}, "site='../a' is no name"),
}


@pytest.mark.parametrize(("node_config", "words"), WORDS.values(), ids=WORDS.keys())
def test_a_node_config_that_makes_no_site_is_refused_by_key(log, node_config, words):
    with pytest.raises(RejectedMessage, match=r"node-config cannot be used \(code site"):
        asked(**node_config)
    assert words in log[-1]


def test_a_site_needs_a_dataset_that_lies_in_a_folder(log, tmp_path):
    with pytest.raises(RejectedMessage, match="code site"):
        asked({"engine": "inprocess", "overrides": "engine.sites={a:.}"}, **site_at(tmp_path))
    assert "dataset=easyvqa lies in no folder" in log[-1]


@pytest.mark.parametrize(
    ("rank", "more", "words"),
    [
        (16, "", "lora-rank=16 is higher than tuning.lora.r=8 of the run"),
        (4, "tuning.lora.init=olora", "lora-rank=4 cannot go with tuning.lora.init=olora"),
    ],
)
def test_a_rank_that_the_runs_adapters_cannot_have_is_refused(
    small, log, tmp_path, rank, more, words
):
    overrides = shlex.join([*small, "dataset=folder", "dataset.task=vqa", *more.split()])
    run_config = {"engine": "inprocess", "overrides": f"{overrides} engine.sites={{north:.}}"}
    with pytest.raises(RejectedMessage, match="code site"):
        asked(run_config, **site_at(tmp_path), **{"lora-rank": rank})
    assert words in log[-1]


def site_at(root) -> dict[str, str]:
    return {"site": "north", "data-root": str(root)}


def request(client: int, arrays=None, **more) -> RecordDict:
    tensors = arrays or {"connector.linear_9.weight": np.zeros(2, np.float32)}
    fields = {"data": (client,), "run": "0" * 32, "site": "north", **more}
    train = TrainRequest(client=client, stage=0, round=1, arrays=pack(tensors), **fields)
    return train.pack()


@pytest.fixture
def log():
    """What the log of the process says, line by line."""
    lines = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(str(record.exc_info[1]) if record.exc_info else record.getMessage())

    handler = Lines()
    FLOWER_LOGGER.addHandler(handler)
    yield lines
    FLOWER_LOGGER.removeHandler(handler)


@pytest.fixture
def told(small, log, tmp_path):
    """Sends a request to a site: the code that the server is told, and the words in the log."""
    questions = [f'{{"image": "{i}.png", "question": "what", "answer": "a"}}' for i in range(9)]
    (tmp_path / "questions.jsonl").write_text("\n".join(questions))
    for i in range(9):
        picture(tmp_path / f"{i}.png", (20 * i, 0, 0), (8, 8))
    words = [*small, "dataset=folder", "dataset.task=vqa", "engine.sites={north: .}"]

    def send(content: RecordDict, **node_config) -> tuple[str, str]:
        run_config = {"overrides": shlex.join(words)}
        site = context(run_config, **site_at(tmp_path), **node_config)
        reply = client_app(message("train", content), site)
        assert set(reply.content) == {"failure"}
        assert set(reply.content["failure"]) == {"code", "site"}, "a site's words stay at the site"
        return Failure.unpack(reply.content).code.value, log[-1]

    return send


@pytest.fixture
def base_arrays(small):
    config = compose({"overrides": " ".join(small)})
    return this_process().model(config, torch.device("cpu")).initial[0]


def test_in_a_simulation_the_words_travel(small, base_arrays, simulation):
    simulated = {"partition-id": 0, "num-partitions": 3}
    site = context({"overrides": " ".join(small)}, **simulated)
    reply = client_app(message("train", request(99, base_arrays, site="")), site)
    words = "partition-id=99 but num_clients=3; ids go from 0 to 2."
    assert Failure.unpack(reply.content).reason == words


@pytest.mark.parametrize("name", ["", "south", "North"])
def test_a_site_is_no_other_one(told, name):
    code, words = told(request(0, site=name))
    assert code == "request"
    assert words == f"The message is for the site '{name}', but this is 'north'."


def test_a_site_has_nobody_elses_examples(told):
    code, words = told(request(0, data=(0, 1)))
    assert code == "request" and "asks for the examples of clients [0, 1]" in words


@pytest.mark.parametrize("run", ["", "../../etc", "0" * 31, "g" * 32])
def test_a_malformed_run_id_names_no_folder(told, run):
    code, words = told(request(0, run=run))
    assert code == "request" and "run id" in words


@pytest.mark.parametrize("field", ["client", "stage", "round", "data"])
def test_another_version_of_the_server_is_told(told, field):
    content = request(0)
    del content["request"][field]
    code, words = told(content)
    assert code == "request"
    assert f"lacks '{field}'" in words and "install the same version" in words


@pytest.mark.parametrize(
    ("field", "value"),
    [("client", -1), ("round", "1"), ("data", 3), ("state_round", 0.5), ("run", 7)],
)
def test_senseless_values_are_refused_by_name(told, field, value):
    content = request(0)
    content["request"][field] = value
    code, words = told(content)
    assert code == "request" and f"'request.{field}'" in words


def test_arrays_that_do_not_fit_are_named(told):
    assert "connector.linear_9.weight" in told(request(0))[1]


def test_a_device_that_is_not_there_is_named(told):
    code, words = told(request(0), device="cuda:9")
    assert code == "configuration" and words.startswith("device=cuda:9")
