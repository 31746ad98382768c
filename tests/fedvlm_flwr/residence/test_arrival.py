"""A message has one answer, whatever happens while it is on its way; never one too many."""

import time

import pytest
from flwr.common.constant import ErrorCode

from fedvlm_flwr.residence import task as residence_task
from fedvlm_flwr.residence.flower import SuperNode
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.task import Task
from tests.fedvlm_flwr.residence.conftest import Node, message
from tests.fedvlm_flwr.residence.served import Alone, Killed, Killing, content, serving
from tests.patience import wait_for


@pytest.fixture(autouse=True)
def hurry(monkeypatch) -> None:
    monkeypatch.setattr(residence_task, "MESSAGE_SECONDS", 0.2)


def value(reply) -> float:
    return float(reply.content["arrays"].to_numpy_ndarrays()[0][0])


def on_its_way(node: Node, run: int = 1) -> dict[str, bytes]:
    """A message whose objects, which are returned, have not come yet."""
    node.announce(run, {}, {})
    return node.deliver(message("train", content(1.0), run), late=None)


def killed(port: int, request: str, times: int = 1) -> None:
    """A process that takes the message, and is killed when a request of a kind was answered."""
    address = f"127.0.0.1:{port}"
    task = SuperNode(address, None).acquire()
    assert task is not None
    task._client = Killing(task._client, times, request)
    with pytest.raises(Killed):
        task.pull(Inbox.of(address), Alone())


def no_answer_is_left_over(node: Node) -> bool:
    """Neither now nor when the SuperNode has waited for signs of life."""
    node.let_time_go_on()
    return not node.state.get_messages_legacy(is_reply=True)


def wait_for_line(lines: list[str], words: str) -> None:
    wait_for(lambda: any(words in line for line in lines), 10)


def test_a_message_whose_run_ended_on_its_way_is_not_answered(node, port):
    """An answer would be sent in the place of a later message's, and that one's with the next."""
    with serving(port) as lines:
        on_its_way(node)
        time.sleep(1.5)
        assert not any("lost" in line for line in lines), "it may be on its way still"
        node.send("train", content(2.0), run=2)
        reply = node.reply()
        assert (reply.metadata.run_id, value(reply)) == (2, 2.0)
        assert any("a message is lost" in line for line in lines)
        assert no_answer_is_left_over(node)


@pytest.mark.parametrize("request_of", ["PullMessages", "PullTaskInput", "ConfirmMessageReceived"])
def test_for_a_process_killed_with_a_message_the_supernode_answers(node, port, request_of):
    node.send("train", content(1.0))
    killed(port, request_of)
    node.let_time_go_on()
    with serving(port) as lines:
        if request_of == "PullMessages":  # its task has not begun
            wait_for_line(lines, "a message is lost")
            node.let_time_go_on()
        assert node.reply(10).error.code == ErrorCode.CLIENT_APP_CRASHED
        node.send("train", content(2.0))
        assert value(node.reply()) == 2.0
        assert no_answer_is_left_over(node)


def test_a_message_is_gone_on_with_by_the_next_process(node, port):
    node.send("train", content(1.0))
    killed(port, "PullObject")
    node.let_time_go_on()
    with serving(port):
        assert value(node.reply()) == 1.0
        assert no_answer_is_left_over(node)


def test_a_message_that_kills_every_process_is_given_up(node, port):
    node.send("train", content(1.0))
    for _ in range(2):
        killed(port, "PullObject")
        node.let_time_go_on()
    with serving(port) as lines:
        wait_for_line(lines, "a message is lost")
        node.let_time_go_on()
        assert node.reply().error.code == ErrorCode.CLIENT_APP_CRASHED


@pytest.mark.parametrize("is_taken_first", [True, False])
def test_a_process_killed_with_a_message_whose_run_has_ended(node, port, is_taken_first):
    """The next process has its task either before or after the next run's."""
    objects = on_its_way(node)
    name = next(iter(objects))
    node.put({name: objects[name]})
    killed(port, "PullObject")
    with serving(port):
        if is_taken_first:
            node.let_time_go_on()
            time.sleep(1)
        node.send("train", content(2.0), run=2)
        assert value(node.reply()) == 2.0
        node.let_time_go_on()
        time.sleep(3)  # it is handed out again, asked for its message, and given up
        assert no_answer_is_left_over(node)
        node.send("train", content(3.0), run=2)
        assert value(node.reply()) == 3.0


def test_a_message_is_waited_for_though_an_earlier_task_is_handed_out_again(node, port):
    """That one, whose run has ended, does not mean that the SuperNode has gone on."""
    on_its_way(node)
    killed(port, "PullMessages")
    with serving(port):
        objects = on_its_way(node, run=2)
        time.sleep(1)
        node.let_time_go_on(run=1)
        time.sleep(2)
        node.put(objects)
        reply = node.reply()
        assert (reply.metadata.run_id, reply.has_error()) == (2, False)
        assert no_answer_is_left_over(node)


def test_a_process_that_stands_still_meanwhile_goes_on(node, port):
    with serving(port):
        objects = on_its_way(node)
        time.sleep(0.7)
        node.let_time_go_on()
        node.put(objects)
        assert value(node.reply()) == 1.0
        assert no_answer_is_left_over(node)


def test_a_process_told_to_end_leaves_a_message_on_its_way_to_the_next_one(node, port):
    objects = on_its_way(node)
    with serving(port) as lines:
        time.sleep(1)
    assert lines[-2:] == [
        "this process ends before the message has come; the next one takes it",
        "stopped",
    ]
    node.let_time_go_on()
    node.put(objects)
    with serving(port):
        assert value(node.reply()) == 1.0


@pytest.mark.parametrize("damage", ["full", "torn"])
def test_without_what_was_kept_the_supernode_answers(node, port, monkeypatch, damage):
    if damage == "full":

        def full(self):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Inbox, "writing", full)
    node.send("train", content(1.0))
    killed(port, "PullObject")
    if damage == "torn":
        path = Inbox.of(f"127.0.0.1:{port}")._path
        assert path.stat().st_mode & 0o077 == 0
        path.write_bytes(path.read_bytes()[:40])
    node.let_time_go_on()
    with serving(port) as lines:
        wait_for_line(lines, "a message is lost")
        node.let_time_go_on()
        assert node.reply().error.code == ErrorCode.CLIENT_APP_CRASHED


def test_a_message_that_cannot_be_read_is_answered_by_the_supernode(node, port, monkeypatch):
    def broken(task: Task, *_: object) -> None:
        monkeypatch.undo()
        raise KeyError("bytes of a stranger")

    monkeypatch.setattr(Task, "_message", broken)
    with serving(port) as lines:
        node.send("train", content(1.0))
        wait_for_line(lines, "a message is lost: KeyError")
        node.let_time_go_on()
        assert node.reply().error.code == ErrorCode.CLIENT_APP_CRASHED
        node.send("train", content(2.0))
        assert value(node.reply()) == 2.0
