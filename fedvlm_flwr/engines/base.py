"""A grid whose nodes this process makes itself, and a ServerApp that runs in it."""

import importlib
import secrets
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set
from uuid import uuid4

from flwr.app import Context, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedvlm_flwr.config import Scalar

NodeConfig = Mapping[str, Scalar]
Task = tuple[Message, Context]  # a message, and the context of the node that it is for


class LocalGrid(Grid):
    """A grid of nodes that are contexts in this process; who works their messages, a subclass says.

    Args:
        nodes: the node-config of each.
    """

    def __init__(self, nodes: Sequence[NodeConfig], run_config: Mapping[str, Scalar]) -> None:
        self._run_id = secrets.randbits(62)
        self._contexts = {
            secrets.randbits(62): Context(
                run_id=self._run_id,
                node_id=0,
                node_config=dict(node_config),
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for node_config in nodes
        }
        TaskIdentity.run_id = self._run_id
        TaskIdentity.node_id = SUPERLINK_NODE_ID
        TaskIdentity.task_id = secrets.randbits(62)

    def set_run(self, run: Run) -> None:
        """Refuse: the grid makes its own run."""
        raise RuntimeError("The grid of a simulation makes its own run.")

    @property
    def run(self) -> Run:
        """The run, of which only the id means anything here."""
        return Run.create_empty(self._run_id)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Build a message (Flower's older way; `Message(...)` does the same)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Random ids, as on every other grid."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Give each message an id and have it worked."""
        tasks = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid4())
            tasks.append((message, self._contexts[message.metadata.dst_node_id]))
        self.take(tasks)
        return [message.metadata.message_id for message, _ in tasks]

    @abstractmethod
    def take(self, tasks: Sequence[Task]) -> None:
        """Have messages worked by their nodes, now or when a reply is asked for."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """A reply that is there, of those to `message_ids`; one at most, so that memory is flat."""
        pending = message_ids if isinstance(message_ids, Set) else set(message_ids)
        reply = self.reply(pending)
        return [] if reply is None else [reply]

    @abstractmethod
    def reply(self, pending: Set[str]) -> Message | None:
        """The reply to one of these messages; None: there is none yet."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push, then pull until all replies are in or `timeout` seconds have passed."""
        waiting = set(self.push_messages(messages))
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        replies: list[Message] = []
        while waiting and time.monotonic() < deadline:
            for reply in self.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                replies.append(reply)
        return replies


def simulated(number: int) -> list[NodeConfig]:
    """The node-configs of so many simulated nodes."""
    return [{"partition-id": i, "num-partitions": number} for i in range(number)]


def serve(app: str, grid: LocalGrid, run_config: Mapping[str, Scalar]) -> None:
    """Run a ServerApp in this process; what it raises comes through.

    Args:
        app: as `module:name`.
    """
    server = load_component(app)
    assert isinstance(server, ServerApp)
    context = Context(
        run_id=TaskIdentity.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=dict(run_config),
    )
    server(grid, context)


def load_component(reference: str) -> object:
    """The object that `module:name` refers to."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
