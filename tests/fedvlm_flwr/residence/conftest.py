"""The Runtime API of a real SuperNode, fed by the test instead of a SuperLink."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import uvicorn
from flwr.app import Context, Message, RecordDict
from flwr.common.constant import Status
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

NODE = 7


class Node:
    """What `flower-supernode --isolation process` is for those who take its tasks."""

    def __init__(self, port: int, secret: bytes | None = None) -> None:
        factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
        self.state, self.store = factory.state(), factory.objectstore_factory.store()
        self.state.set_node_id(NODE)
        config = uvicorn.Config(
            create_app(factory, secret), host="127.0.0.1", port=port, log_level="error"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def announce(self, run: int, config: dict, node_config: dict) -> None:
        """As a SuperNode does at a run's first message, and with each message: a task."""
        if self.state.get_run(run) is None:
            facts = Run.create_empty(run)
            facts.series_id, facts.fab_hash = run, "f" * 64
            context = Context(
                run_id=run,
                node_id=NODE,
                node_config=node_config,
                state=RecordDict(),
                run_config=config,
                series_id=run,
            )
            self.state.set_run_series_context(run, context)
            self.state.store_run(facts)
            facts.fab_hash = self.state.store_fab(Fab("", b"code of the server", {}))
        assert self.state.create_task(TaskType.CLIENT_APP, run_id=run, fab_hash=facts_hash(self))

    def deliver(self, message: Message, late: float | None = 0.0) -> dict[str, bytes]:
        """Store a message, and its objects after some seconds; None: these are left to `put`.

        Returns:
            Its objects.
        """
        objects = {k: v.deflate() for k, v in get_all_nested_objects(message).items()}
        tree: ObjectTree = get_object_tree(message)
        message.metadata.__dict__["_message_id"] = tree.object_id
        self.store.preregister(message.metadata.run_id, tree)
        self.state.store_message(message)
        if late is not None:
            time.sleep(late)
            self.put(objects)
        return objects

    def put(self, objects: dict[str, bytes]) -> None:
        """Store objects of a message."""
        for name, content in objects.items():
            self.store.put(name, content)

    def send(
        self,
        kind: str,
        content: RecordDict | None = None,
        run: int = 1,
        config: dict | None = None,
        node_config: dict | None = None,
    ) -> None:
        self.announce(run, config or {}, node_config or {})
        self.deliver(message(kind, content, run))

    def let_time_go_on(self, run: int | None = None) -> None:
        """More than the SuperNode waits for a sign of life of a process; only of one run's."""
        for task, record in list(self.state.task_token_store.items()):
            if run in (None, self.state.task_store[task].run_id):
                record.active_until -= timedelta(seconds=100)

    def is_at_work(self, run: int) -> bool:
        """Whether a process is at a task of this run, its message at hand."""
        tasks = self.state.task_store.values()
        return any(t.run_id == run and t.status.status == Status.RUNNING for t in list(tasks))

    def reply(self, seconds: float = 20.0, *, is_over: bool = True) -> Message:
        """The next reply, whole.

        Args:
            is_over: wait for the end of its task too, which a leap in time would bring about.
        """
        deadline = time.monotonic() + seconds
        while not (replies := self.state.get_messages_legacy(is_reply=True)):
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.02)
        (head,) = replies
        tree = self.store.get_object_tree(head.metadata.message_id)
        names = [tree.object_id, *(each for each in flat(tree))]
        contents = {}
        for name in names:
            while not (data := self.store.get(name)):
                assert time.monotonic() < deadline, "an object is missing"
                time.sleep(0.02)
            contents[name] = data
        whole = inflate_object_from_contents(tree.object_id, contents)
        assert isinstance(whole, Message)
        while is_over and self.is_at_work(head.metadata.run_id):
            assert time.monotonic() < deadline, "its task is not over"
            time.sleep(0.02)
        return whole


def facts_hash(node: Node) -> str:
    """The hash of the one code bundle that the node holds."""
    (fab_hash,) = node.state.fab_store
    return fab_hash


def flat(tree: ObjectTree) -> Iterator[str]:
    for child in tree.children:
        yield child.object_id
        yield from flat(child)


def message(kind: str, content: RecordDict | None = None, run: int = 1) -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run, 1, 1
    return Message(content or RecordDict(), dst_node_id=NODE, message_type=kind, group_id="3")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def node(port: int) -> Iterator[Node]:
    made = Node(port)
    yield made
    made.stop()
