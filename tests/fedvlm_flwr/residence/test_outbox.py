"""A reply outlives the process that was killed while it handed it over."""

import pytest
from flwr.common.constant import ErrorCode

from fedvlm_flwr.errors import StateError
from fedvlm_flwr.residence.flower import SuperNode
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.outbox import Outbox, Parcel
from fedvlm_flwr.residence.task import Task
from tests.fedvlm_flwr.residence.conftest import Node
from tests.fedvlm_flwr.residence.served import Alone, Killed, Killing, content, echo, serving


def kept(node: Node, port: int) -> tuple[Outbox, Task, Parcel]:
    """A message that was worked, and whose reply is to be handed over."""
    address = f"127.0.0.1:{port}"
    outbox = Outbox.of(address)
    node.send("train", content(1.0))
    task = SuperNode(address, None).acquire()
    assert task is not None
    task.pull(Inbox.of(address), Alone())
    parcel = task.parcel(echo(task.message, task.context))
    outbox.keep(parcel)
    return outbox, task, parcel


@pytest.mark.parametrize("requests", [1, 2, 5])  # it is announced, and has four objects
def test_a_reply_that_a_killed_process_has_begun_to_give_is_given_by_the_next(node, port, requests):
    """A SuperNode waits for all of a reply that it was told of, and for nothing else meanwhile."""
    outbox, task, parcel = kept(node, port)
    task._client = Killing(task._client, requests)
    with pytest.raises(Killed):
        task.push(parcel)
    with serving(port) as lines:
        reply = node.reply(10)
        assert reply.content["arrays"].to_numpy_ndarrays()[0].tolist() == [1.0] * 3
        node.send("train", content(2.0))
        assert not node.reply().has_error()
    assert "a reply is handed over that was begun by a process before this one" in lines[0]
    assert outbox.left() is None


def test_a_reply_that_the_supernode_has_sent_is_not_given_again(node, port):
    """It would be sent in the place of the next message's."""
    outbox, task, parcel = kept(node, port)
    task._client = Killing(task._client, 5)  # before it ends the task
    with pytest.raises(Killed):
        task.push(parcel)
    head = node.reply(is_over=False).metadata
    node.state.delete_messages(message_ids=[head.message_id, head.reply_to_message_id])
    node.store.delete(parcel.tree.object_id)
    with serving(port) as lines:
        node.send("train", content(2.0))
        reply = node.reply(is_over=False)
        assert reply.content["arrays"].to_numpy_ndarrays()[0].tolist() == [2.0] * 3
    assert outbox.left() is None
    assert not [line for line in lines if "before this one" in line]


def test_a_reply_that_cannot_be_given_any_more_is_said_to_be_lost(node, port):
    outbox, *_ = kept(node, port)
    node.let_time_go_on()
    with serving(port) as lines:
        assert node.reply().error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "a reply may be lost that was begun by a process before this one" in lines[0]
    assert outbox.left() is None


@pytest.mark.parametrize("damage", [b"", b"no zip", None])
def test_a_damaged_outbox_is_left_and_work_goes_on(node, port, damage):
    outbox, *_ = kept(node, port)
    path = outbox._path
    assert path.stat().st_mode & 0o077 == 0
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(StateError, match="damaged"):
        outbox.left()
    with serving(port):
        node.send("train", content(2.0), run=2)
        assert not node.reply().has_error()
    assert outbox.left() is None


def test_a_reply_is_given_though_the_disk_is_full(node, port, monkeypatch):
    def full(self, parcel):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Outbox, "keep", full)
    with serving(port):
        node.send("train", content(1.0))
        assert not node.reply().has_error()
