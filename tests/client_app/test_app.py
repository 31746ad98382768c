"""The door: what it answers, and what a failing client says."""

import logging
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


@pytest.mark.parametrize(
    ("node_config", "simulated"),
    [
        ({"partition-id": 3, "num-partitions": 8}, True),
        ({"partition-id": 3}, False),
        ({"partition-id": 3, "num-partitions": 8, "device": "cpu"}, False),
    ],
)
def test_a_query_tells_the_client_and_whether_it_is_simulated(node_config, simulated):
    reply = client_app(message("query"), context(**node_config))
    config = compose({})
    counts = [len(share) for share in this_process().shares(config)]
    expected = SiteReply(partition=3, simulated=simulated, examples=(counts[3],))
    assert SiteReply.unpack(reply.content) == expected
    free = {"overrides": "max_weight_share=null"}  # then nobody needs them
    reply = client_app(message("query"), context(free, **node_config))
    assert SiteReply.unpack(reply.content) == SiteReply(partition=3, simulated=simulated)


def test_simulated_nodes_tell_of_the_clients_that_they_serve_in_turn():
    counts = [len(share) for share in this_process().shares(compose({}))]
    reply = client_app(message("query"), context(**{"partition-id": 1, "num-partitions": 3}))
    assert SiteReply.unpack(reply.content).examples == (counts[1], counts[4], counts[7])


def test_a_node_that_cannot_count_its_examples_says_why():
    bad = {"overrides": "dataset=folder dataset.root=/nowhere dataset.task=vqa"}
    reply = client_app(message("query"), context(bad, **{"partition-id": 1}))
    with pytest.raises(RejectedMessage, match="code data"):
        SiteReply.unpack(reply.content)


def request(client: int, arrays=None, **more) -> RecordDict:
    tensors = arrays or {"connector.linear_9.weight": np.zeros(2, np.float32)}
    fields = {"data": (client,), "run": "0" * 32, **more}
    train = TrainRequest(client=client, stage=0, round=1, arrays=pack(tensors), **fields)
    return train.pack()


@pytest.fixture
def told(small, monkeypatch):
    """Sends a request to a site: the code that the server is told, and the words in the log."""
    records = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(str(record.exc_info[1]) if record.exc_info else record.getMessage())

    handler = Lines()
    FLOWER_LOGGER.addHandler(handler)

    def send(content: RecordDict, **node_config) -> tuple[str, str]:
        site = context({"overrides": " ".join(small)}, **{"partition-id": 0, **node_config})
        reply = client_app(message("train", content), site)
        assert set(reply.content) == {"failure"}
        assert set(reply.content["failure"]) == {"code"}, "a site's words stay at the site"
        return Failure.unpack(reply.content).code.value, records[-1]

    yield send
    FLOWER_LOGGER.removeHandler(handler)


@pytest.fixture
def base_arrays(small):
    config = compose({"overrides": " ".join(small)})
    return this_process().model(config, torch.device("cpu")).initial[0]


def test_a_client_that_does_not_exist_says_so(told, base_arrays):
    code, words = told(request(99, base_arrays), **{"partition-id": 99})
    assert code == "configuration"
    assert words == "partition-id=99 but num_clients=3; ids go from 0 to 2."


def test_in_a_simulation_the_words_travel(small, base_arrays):
    simulated = {"partition-id": 0, "num-partitions": 3}
    site = context({"overrides": " ".join(small)}, **simulated)
    reply = client_app(message("train", request(99, base_arrays)), site)
    words = "partition-id=99 but num_clients=3; ids go from 0 to 2."
    assert Failure.unpack(reply.content).reason == words


def test_a_site_is_no_other_client_and_has_nobody_elses_examples(told):
    code, words = told(request(1))
    assert (code, words) == (
        "request",
        "The message is for client 1, but this site is client 0.",
    )
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
