"""A resident process beside the real Runtime API of a SuperNode."""

import http.server
import os
import shlex
import signal
import threading
import time

import pytest
import torch
from flwr.app import Context, Message
from flwr.common.constant import ErrorCode

from client_app.app import app as client_app
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import SiteReply, TrainReply, TrainRequest, decision
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.process import Process, this_process
from fedvlm_flwr.residence.flower import SuperNode
from fedvlm_flwr.residence.heartbeat import beating
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.loop import Residence
from fedvlm_flwr.residence.outbox import Outbox
from tests.fedvlm_flwr.residence.conftest import Node, message
from tests.fedvlm_flwr.residence.served import content, echo, serving
from tests.layout import questions
from tests.patience import within


def test_messages_are_answered_one_after_the_other(node, port):
    with serving(port) as lines:
        for number in (1.0, 2.0):
            node.send("train", content(number))
            reply = node.reply()
            assert reply.content["arrays"].to_numpy_ndarrays()[0].tolist() == [number] * 3
    assert len([line for line in lines if "train: worked, " in line]) == 2
    assert "run 1, round 3, train: worked" in lines[1]


def test_a_message_that_fails_is_that_messages_failure_and_no_word_of_it_leaves(node, port):
    with serving(port):
        node.send("evaluate")
        reply = node.reply()
        assert reply.error.reason == "KeyError; see the site's log"
        node.send("train", content(1.0))
        assert not node.reply().has_error()


def test_a_supernode_that_comes_late_or_is_started_anew_is_waited_for(port):
    with serving(port) as lines:
        for number in (1.0, 2.0):
            started = Node(port)
            started.send("train", content(number))
            assert not started.reply().has_error()
            started.stop()
    assert len([line for line in lines if "waiting for it" in line]) >= 1
    assert len([line for line in lines if "answers" in line and "no " not in line]) >= 1


@pytest.mark.parametrize("secret", [None, b"another"])
def test_a_supernode_with_a_secret_refuses_who_has_not_that_one(port, secret):
    started = Node(port, b"the secret")
    try:
        with pytest.raises(RunError, match="does not take this process's secret; set secret=FILE"):
            SuperNode(f"127.0.0.1:{port}", secret).acquire()
        assert SuperNode(f"127.0.0.1:{port}", b"the secret").acquire() is None
    finally:
        started.stop()


def test_what_is_no_supernode_is_named(port):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_error(404, "nothing here")

    server = http.server.HTTPServer(("127.0.0.1", port), Other)
    threading.Thread(target=server.handle_request).start()
    with pytest.raises(RunError, match=f"127.0.0.1:{port} hands out no tasks .404"):
        SuperNode(f"127.0.0.1:{port}", None).acquire()
    server.server_close()


def test_a_task_that_the_supernode_gave_up_is_lost_and_the_next_one_is_worked(node, port):
    def slow(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train":
            node.let_time_go_on()
        return echo(message, context)

    with serving(port, slow) as lines:
        node.send("train", content(1.0))
        assert node.reply().error.code == ErrorCode.CLIENT_APP_CRASHED  # the SuperNode's own words
        node.send("query")
        assert not node.reply().has_error()
    assert [line for line in lines if "a message is lost" in line]


def test_a_task_is_announced_before_its_message_and_that_before_its_arrays(node, port):
    with serving(port):
        node.announce(1, {}, {})
        time.sleep(0.5)
        node.deliver(message("train", content(4.0)), late=0.5)
        assert node.reply().content["arrays"].to_numpy_ndarrays()[0][0] == 4.0


def test_a_heart_beats_until_the_task_is_given_up_and_interrupts_nobody():
    beats = []

    def beat() -> bool:
        beats.append(len(beats))
        return len(beats) < 3

    with beating(beat, seconds=0.01):
        time.sleep(0.3)
    assert beats == [0, 1, 2]


def test_sigterm_at_work_answers_the_message_as_a_failure_and_ends(node, port):
    """In the main thread, as in the command."""

    def until_stopped(message: Message, context: Context) -> Message:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        raise AssertionError("nobody stopped it")

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    supernode, lines = SuperNode(f"127.0.0.1:{port}", None), []
    files = (Inbox.of(supernode.address), Outbox.of(supernode.address))
    residence = Residence(supernode, until_stopped, Process(), *files, lines.append)
    residence.stop_at_signals()
    try:
        node.send("train", content(1.0))
        with within(15):
            residence.serve()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert node.reply().error.reason == "the site's process was stopped"
    assert lines[-1] == "stopped"


def test_runs_that_take_turns_with_two_models_are_told_of_once(small, node, port):
    process = Process()

    def load(message: Message, context: Context) -> Message:
        process.model(process.compose(context.run_config), torch.device("cpu"))
        return echo(message, context)

    with serving(port, load, process=process) as lines:
        for run in (1, 2, 1, 1, 2):
            config = {"overrides": shlex.join([*small, f"seed={run}"])}
            node.send("train", content(1.0), run, config)
            assert not node.reply().has_error()
    assert process.model_loads == 4
    (line,) = [line for line in lines if "one after the other" in line]
    assert line.startswith("run 1 has loaded its base model again")


def test_the_installed_app_answers_a_run_and_loads_its_model_once(small, node, port, tmp_path):
    data = questions(tmp_path / "data", 12)
    words = [*small, f"engine.sites={{a: '{data}'}}", "dataset=folder", "dataset.task=vqa"]
    config = {"overrides": shlex.join([*words, "dataset.allow_unknown_words=true", "seed=3"])}
    facts = {"site": "a", "data-root": str(data), "state-dir": str(tmp_path / "states")}
    process = this_process()
    loads = process.model_loads
    with serving(port, client_app, process=process) as lines:
        node.send("query", None, 1, config, facts)
        assert SiteReply.unpack(node.reply().content).site == "a"
        start = process.model(process.compose(config), torch.device("cpu")).initial[0]
        fields = {"client": 0, "site": "a", "stage": 0, "round": 1, "run": "0" * 32}
        for number in (1, 2):
            fields["round"] = number
            request = TrainRequest(arrays=pack(start), data=(0,), **fields)
            node.send("train", request.pack(), 1, config)
            assert TrainReply.unpack(node.reply().content).metrics.num_examples > 0
        fields["site"] = "b"
        refused = TrainRequest(arrays=pack(start), data=(0,), **fields)
        node.send("train", refused.pack(), 1, config)
        assert decision(node.reply().content) == "refused (request)"
    assert process.model_loads == loads + 1
    decisions = [line.split(": ")[1].split(",")[0] for line in lines if line.startswith("run ")]
    assert decisions == ["worked"] * 3 + ["refused (request)"]
