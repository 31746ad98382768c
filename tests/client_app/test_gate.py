"""A site's own log and its own policy, with the messages of a real round."""

import json
import shlex
import stat

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client_app.app import answer
from client_app.app import app as client_app
from client_app.audit import FILE, LONGEST
from client_app.policy import FILE as POLICY
from client_app.policy import NEEDED, Policy
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import PolicyError
from fedvlm_flwr.handshake import source
from fedvlm_flwr.messages import Failure, ScoresReply, TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.process import this_process
from fedvlm_flwr.simulation import simulating
from tests.layout import questions

RECORDS = 12


def at_site(folder, run_config=None) -> Context:
    """A site with its states in a folder and its data in `data` below it."""
    (folder / "data").mkdir(exist_ok=True)
    facts = {"site": "a", "data-root": str(folder / "data"), "state-dir": str(folder)}
    return Context(
        run_id=17,
        node_id=2,
        node_config=facts,
        state=RecordDict(),
        run_config=run_config or {},
    )


def to_site(content: RecordDict, kind: str = "train") -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 17, 1, 1
    message = Message(content, dst_node_id=2, message_type=kind, group_id="1")
    message.metadata.__dict__["_message_id"] = "m"
    return message


@pytest.fixture
def site_words(small, tmp_path) -> list[str]:
    """Those of a run at the site, which has some records."""
    data = questions(tmp_path / "data", RECORDS)
    place = [f"engine.sites={{a: '{data}'}}", "dataset=folder", "dataset.task=vqa"]
    return [*small, *place, "dataset.allow_unknown_words=true"]


@pytest.fixture
def base(site_words):
    """The shared tensors before training."""
    config = compose({"overrides": shlex.join(site_words)})
    return this_process().model(config, torch.device("cpu")).initial[0]


@pytest.fixture
def train(site_words, base, tmp_path):
    """Asks the site for a round of training; the reply, and the lines of the site's log."""

    def send(*further: str, **more):
        fields = {"client": 0, "stage": 0, "round": 1, "data": (0,), "run": "0" * 32, **more}
        request = TrainRequest(arrays=pack(base), site="a", **fields)
        context = at_site(tmp_path, {"overrides": shlex.join([*site_words, *further])})
        reply = client_app(to_site(request.pack()), context)
        return reply.content, lines(tmp_path)

    return send


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def policy(folder, text: str) -> None:
    (folder / POLICY).write_text(text, encoding="utf-8")


def code(content: RecordDict) -> str:
    return Failure.unpack(content).code.value


def test_both_ways_of_a_message_are_in_the_sites_log(train, base, tmp_path):
    content, (taken, sent) = train()
    assert [taken["way"], sent["way"]] == ["taken", "sent"]
    for line in (taken, sent):
        assert (line["run"], line["round"], line["kind"]) == ("17", "1", "train")
        assert line["arrays"] == {"arrays": sorted(base)}
        assert line["bytes"] > sum(values.nbytes for values in base.values())
    assert taken["values"]["request"]["run"] == "0" * 32
    assert sent["values"] == {"metrics": dict(content["metrics"])}
    assert sent["decision"] == "worked" and "words" not in sent
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_failure_and_its_words_stand_there_and_the_words_do_not_travel(train, tmp_path):
    (tmp_path / "data" / "questions.jsonl").unlink()
    content, (_, sent) = train()
    assert dict(content["failure"]) == {"code": "data", "site": "a"}
    assert sent["decision"] == "failed (data)" and f"{tmp_path}/data holds no" in sent["words"]
    assert sent["values"] == {"failure": {"code": "data", "site": "a"}}


def test_what_a_stranger_sends_is_logged_as_it_is(tmp_path):
    array = Array(dtype="float32", shape=(3,), stype="safetensors", data=b"\xff\xff\xff")
    content = RecordDict({"arrays": ArrayRecord({"packed": array})})
    long = answer(lambda *_: content, to_site(content), at_site(tmp_path)).content
    assert long is content
    taken, _ = lines(tmp_path)
    assert taken["arrays"] == {"arrays": ["packed"]}


def test_of_a_long_value_the_beginning_is_logged(train):
    _, (taken, _) = train(data=tuple(range(LONGEST + 5)))
    assert len(taken["values"]["request"]["data"]) == LONGEST + 1
    assert taken["values"]["request"]["data"][-1] == f"... {LONGEST + 5} in all"


def test_in_a_simulation_nothing_is_written(small, base, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    context = at_site(tmp_path)
    context.node_config = {"partition-id": 0, "num-partitions": 2}
    with simulating():
        answer(lambda *_: RecordDict(), to_site(RecordDict()), context)
    assert not list(tmp_path.rglob(FILE))


def test_nothing_is_worked_and_nothing_leaves_where_the_log_is_full(tmp_path):
    (tmp_path / FILE).symlink_to("/dev/full")
    reply = answer(lambda *_: pytest.fail("worked"), to_site(RecordDict()), at_site(tmp_path))
    assert code(reply.content) == "state"

    def fills_the_disk(*_) -> RecordDict:
        (tmp_path / FILE).unlink()
        (tmp_path / FILE).symlink_to("/dev/full")
        return RecordDict({"arrays": pack({"w": np.ones(1, np.float32)})})

    (tmp_path / FILE).unlink()
    reply = answer(fills_the_disk, to_site(RecordDict()), at_site(tmp_path))
    assert code(reply.content) == "state"


@pytest.mark.parametrize(
    ("rules", "words", "why"),
    [
        ("algorithms: [fedprox]", [], "algorithm=fedavg is not one of: fedprox"),
        ("max_update_norm: 2", [], "max_update_norm=None is not at most 2"),
        ("max_update_norm: 2", ["max_update_norm=3"], "max_update_norm=3.0 is not at most 2"),
        ("max_rounds: 3", ["num_rounds=4"], "its 4 rounds are more than 3"),
        ("max_rounds: 3", [4], "its 4 rounds are more than 3"),
        ("runs: [16]", [], "run 17 is not one of: 16"),
        ("sources: [0490]", [], "is not one of: 0490"),
        ("runs: []", [], "run 17 is not one of: (none)"),
        ("keys: [experiment, 'engine*', 'dataset*']", ["++train.lr=1"], "the server sets train.lr"),
        ("keys: [experiment, 'dataset*', 'train.*']", ["tuning=f_c"], "the server sets engine"),
        ("rounds: 3", [], "Unknown key rounds; the keys there are: keys, runs, sources"),
        ("max_rounds: many", [], "max_rounds='many' must be of type int"),
        ("max_rounds: -1", [], "max_rounds=-1 must be in [0, 1e+06]"),
        ("max_rounds: 3\nmax_rounds: 4", [], "duplicate key max_rounds"),
        ("[fedavg]", [], "must be a mapping"),
        ("max_rounds: [", [], "cannot be used, so that all is refused"),
    ],
)
def test_the_policy_refuses_before_anything_is_loaded(
    train, tmp_path, monkeypatch, rules, words, why
):
    policy(tmp_path, rules)
    monkeypatch.setattr("client_app.app.worker", lambda: pytest.fail("it was loaded"))
    number = next((word for word in words if isinstance(word, int)), 1)
    content, (_, sent) = train(*(w for w in words if isinstance(w, str)), round=number)
    assert dict(content["failure"]) == {"code": "policy", "site": "a"}
    assert sent["decision"] == "refused (policy)"
    assert why in sent["words"] and POLICY in sent["words"]


def test_what_the_policy_allows_is_trained(train, tmp_path):
    policy(
        tmp_path,
        f"sources: [{source()}]\n"
        "keys: [experiment, 'engine*', 'dataset*', 'train.*', 'max_*', 'num_*']\nruns: [17]\n"
        "algorithms: [fedavg]\nmax_update_norm: 100\nmax_rounds: 3\n",
    )
    content, (_, sent) = train("++train.lr=0.1", "max_update_norm=100", "num_rounds=3")
    assert sent["decision"] == "worked" and TrainReply.unpack(content)


def test_keys_that_name_the_run_folder_are_free(tmp_path):
    policy(tmp_path, "keys: []")
    run_config = {"output-dir": "/srv/runs", "run-name": "r", "resume": "", "overrides": ""}
    reply = answer(lambda *_: RecordDict(), to_site(RecordDict()), at_site(tmp_path, run_config))
    assert "failure" not in reply.content


def test_metrics_that_may_not_leave_are_left_out(train, tmp_path):
    policy(tmp_path, "metrics: [loss]")
    content, (_, sent) = train()
    assert set(content["metrics"]) == {"loss", *NEEDED}
    assert {"num_examples", "steps", "saved_state"} == NEEDED
    assert set(sent["values"]["metrics"]) == set(content["metrics"])
    assert TrainReply.unpack(content).metrics.seconds == 0.0


def test_scores_that_may_not_leave_are_left_out():
    scores = {"vqa": {"accuracy": 0.5, "f1": 0.25}, "grounding": {"iou": 0.75}}
    reply = ScoresReply(scores, 1.0, {"vqa": 20, "grounding": 30}, scores)
    content = Policy(metrics=["vqa/acc*"]).release(reply.pack())
    left = {"vqa": {"accuracy": 0.5}}
    assert ScoresReply.unpack(content) == ScoresReply(left, 0.0, {"vqa": 20}, left)


def test_a_policy_is_read_at_each_message(train, tmp_path):
    policy(tmp_path, "runs: [16]")
    assert code(train()[0]) == "policy"
    policy(tmp_path, "runs: [17]")
    assert "failure" not in train()[0]


def test_a_policy_that_cannot_be_used_is_named_by_its_place(tmp_path):
    policy(tmp_path, "algorithm: fedavg")
    with pytest.raises(PolicyError, match=f"{tmp_path}/{POLICY} cannot be used.*algorithm"):
        Policy.read(tmp_path)
    assert Policy.read(tmp_path / "nothing there") == Policy()
