"""The server's questions, answered by the clients' processes: the same answers, by whomever."""

import shlex
import sys
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client_app.app import answers, query, train
from client_app.worker import Worker
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines import run_app
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.errors import ConfigError, RequestError, RunError
from fedvlm_flwr.evaluation.evaluator import SHUFFLED, WHOLE, Evaluator
from fedvlm_flwr.messages import AnswersReply, AnswersRequest, RejectedMessage, TrainRequest
from fedvlm_flwr.messages.answers import ACTION
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import METRICS, PREDICTIONS, RunFolder
from server_app import spreading

FEW = ("num_rounds=2", "train.local_steps=2", "dataset.test_pictures=6", "eval.max_examples=9")

flawed = ClientApp()  # the real client, but for the part that raises, and one that is cut short
flawed.query()(query)
flawed.train()(train)


@flawed.evaluate(ACTION)
def answer_badly(message: Message, context: Context) -> Message:
    request = AnswersRequest.unpack(message.content)
    if request.part == 0:
        raise RuntimeError("the disk is on fire")
    reply = answers(message, context)
    if request.part == 1:
        texts = AnswersReply.unpack(reply.content).texts[1:]
        return Message(AnswersReply(texts).pack(), reply_to=message)
    return reply


ending = ClientApp()  # the real client, which trains one round
ending.query()(query)
ending.evaluate(ACTION)(answers)


@ending.train()
def train_once(message: Message, context: Context) -> Message:
    if TrainRequest.unpack(message.content).round > 1:
        raise RuntimeError("the disk is on fire")
    return train(message, context)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """So few questions make several parts."""
    monkeypatch.setattr(spreading, "LEAST", 4)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What the evaluators of this process answer, a line for each part: kind, part, parts."""
    parts: list[str] = []
    own = Evaluator.answers

    def counted(self: Evaluator, what: str, part: int, parts_in_all: int) -> list[str]:
        parts.append(f"{what} {part}/{parts_in_all}")
        return own(self, what, part, parts_in_all)

    monkeypatch.setattr(Evaluator, "answers", counted)
    return parts


def numbers(folder: RunFolder) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = list(folder.lines(METRICS))
    return [line for line in lines if "seconds" not in line["metric"]]


def predictions(folder: RunFolder) -> bytes:
    return (folder.path / PREDICTIONS).read_bytes()


@pytest.fixture(scope="module")
def alone(start) -> RunFolder:
    """A run whose server answers."""
    return start(*FEW)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("tuning=f_2stage", "num_rounds=1"),  # what the first stage came to goes with the second
        ("algorithm.adapters=flora", "tuning=f_l", "num_rounds=1"),  # so does a residual
    ],
    ids=["fedavg", "f_2stage", "flora"],
)
def test_the_same_predictions_and_scores(start, alone, asked, words):
    own = start(*FEW, *words) if words else alone
    assert asked == []
    spread = start(*FEW, *words, "eval.spread=true")
    assert predictions(spread) == predictions(own)
    assert numbers(spread) == numbers(own)
    kinds = {line.partition(" ")[0] for line in asked}
    assert kinds >= {WHOLE, SHUFFLED} and any("2/3" in line for line in asked)


@pytest.mark.parametrize(
    ("words", "spreads"),
    [
        ("engine=ray", True),
        ("engine=ray eval.spread=false", False),
        ("engine=inprocess", False),
        ("engine=inprocess eval.spread=true", True),
        ("engine=superlink num_clients=null", False),
    ],
)
def test_clients_that_are_other_processes_answer_where_nothing_else_is_said(words, spreads):
    grid = InProcessGrid(ending, {}, 1)
    assert (spreading.Spread.of(compose({"overrides": words}), grid) is not None) == spreads


def test_what_does_not_come_back_is_answered_by_the_server(start, alone, asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "flawed_client", sys.modules[__name__])
    spread = start(*FEW, "eval.spread=true", client="flawed_client:flawed")
    assert predictions(spread) == predictions(alone)
    assert numbers(spread) == numbers(alone)


def test_a_run_that_has_ended_early_goes_on_to_the_same(start, small, app, alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "ending_client", sys.modules[__name__])
    words = (*FEW, "eval.spread=true")
    with pytest.raises(RunError, match="Round 2 got 0 good replies"):
        start(*words, client="ending_client:ending", name="ended")
    folder = max(alone.path.parents[1].glob("*/ended"), key=lambda path: path.stat().st_mtime)
    run_config = {"overrides": shlex.join([*small, *words]), "resume": str(folder)}
    config = compose(run_config)
    run_app(app, run_config, config.engine, config.fixed_clients, folder / "engine.log")
    assert predictions(RunFolder(folder)) == predictions(alone)


def test_real_sites_answer_for_nobody_else(tmp_path):
    words = ["engine=inprocess", f"engine.sites={{north: {tmp_path}}}", "num_clients=1"]
    with pytest.raises(ConfigError, match=r"eval\.spread has simulated clients answer"):
        compose({"overrides": shlex.join([*words, "eval.spread=true"])})
    site = {"site": "north", "data-root": str(tmp_path), "state-dir": str(tmp_path)}
    with pytest.raises(RequestError, match="A real site does not answer"):
        Worker(this_process()).answers(RecordDict(), {}, site)


def test_a_request_and_a_reply_come_back_as_they_were():
    empty = ArrayRecord()
    request = AnswersRequest(
        stage=1, what=WHOLE, part=0, parts=3, arrays=empty, previous=empty, residual=empty
    )
    assert AnswersRequest.unpack(request.pack()) == request
    texts = ["", "a red\ncircle", "\u00e9" * 3]
    assert AnswersReply.unpack(AnswersReply(texts).pack()).texts == texts
    with pytest.raises(RequestError, match="install the same version"):
        AnswersRequest.unpack(RecordDict())
    for record in (RecordDict(), reply_of([1, 2]), reply_of(["x" * 1_000_001])):
        with pytest.raises(RejectedMessage):
            AnswersReply.unpack(record)


def reply_of(values: list[Any]) -> RecordDict:
    return RecordDict({"answers": ConfigRecord({"answers": values})})
