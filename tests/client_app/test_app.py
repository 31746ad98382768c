"""The door: what it answers, and what a failing client says."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client_app.app import app as client_app
from fedvlm_flwr.config import compose
from fedvlm_flwr.process import this_process
from fedvlm_flwr.wire import pack
from strategies.core.order import Order

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
    site = client_app(message("query"), context(**node_config)).content["site"]
    assert dict(site) == {"partition-id": 3, "simulated": simulated}


def order(client: int) -> RecordDict:
    record = Order(client, 0, 1, (client,), run="0" * 32).record()
    arrays = pack({"connector.linear_9.weight": np.zeros(2, np.float32)})
    return RecordDict({"arrays": arrays, "config": record})


def failure(reply: Message) -> str:
    assert set(reply.content) == {"failure"}
    return str(reply.content["failure"]["reason"])


def test_a_client_that_does_not_exist_says_so(small, base_arrays):
    config = {"overrides": " ".join(small)}
    content = order(99)
    content["arrays"] = pack(base_arrays)
    reply = client_app(message("train", content), context(config, **{"partition-id": 99}))
    assert failure(reply) == "partition-id=99 but num_clients=3; ids go from 0 to 2."


@pytest.fixture
def base_arrays(small):
    config = compose({"overrides": " ".join(small)})
    return this_process().model(config, torch.device("cpu")).initial[0]


def test_a_site_is_no_other_client_and_has_nobody_elses_examples(small):
    config = {"overrides": " ".join(small)}
    reply = client_app(message("train", order(1)), context(config, **{"partition-id": 0}))
    assert failure(reply) == "The message is for client 1, but this site is client 0."
    pooled = order(0)
    pooled["config"]["data"] = [0, 1]
    reply = client_app(message("train", pooled), context(config, **{"partition-id": 0}))
    assert "asks for the examples of clients [0, 1]" in failure(reply)


@pytest.mark.parametrize("run", ["", "../../etc", "0" * 31, "g" * 32])
def test_a_malformed_run_id_names_no_folder(small, run):
    content = order(0)
    content["config"]["run"] = run
    site = context({"overrides": " ".join(small)}, **{"partition-id": 0})
    assert "run id" in failure(client_app(message("train", content), site))


def test_another_version_of_the_server_is_told(small):
    content = order(0)
    del content["config"]["data"]
    site = context({"overrides": " ".join(small)}, **{"partition-id": 0})
    assert "lacks config.data" in failure(client_app(message("train", content), site))


def test_arrays_that_do_not_fit_are_named(small):
    config = {"overrides": " ".join(small)}
    reply = client_app(message("train", order(0)), context(config, **{"partition-id": 0}))
    assert "connector.linear_9.weight" in failure(reply)


def test_a_device_that_is_not_there_is_named(small):
    config = {"overrides": " ".join(small)}
    site = context(config, **{"partition-id": 0, "device": "cuda:9"})
    assert failure(client_app(message("train", order(0)), site)).startswith("device=cuda:9")
