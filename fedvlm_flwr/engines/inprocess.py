"""Server and clients in one process: the very same apps, without Ray, sockets or copies."""

import importlib
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.engines import App
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.simulation import simulating

SEPARATE_PROCESSES = False
OUTLIVES_COMMAND = False


class InProcessGrid(Grid):
    """A grid whose nodes are contexts of one ClientApp, called when their reply is asked for.

    Only one reply exists at a time: a message is worked when it is pulled.

    Args:
        num_nodes: simulated nodes.
        sites: the node-configs of real sites that stand here instead.
    """

    def __init__(
        self,
        client_app: ClientApp,
        run_config: Mapping[str, Scalar],
        num_nodes: int,
        sites: Sequence[Mapping[str, Scalar]] = (),
    ) -> None:
        self._app = client_app
        self._run_id = secrets.randbits(62)
        self._pending: dict[str, Message] = {}
        simulated: list[Mapping[str, Scalar]] = [
            {"partition-id": partition, "num-partitions": num_nodes}
            for partition in range(num_nodes)
        ]
        self._contexts = {
            secrets.randbits(62): Context(
                run_id=self._run_id,
                node_id=0,
                node_config=dict(node_config),
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for node_config in sites or simulated
        }
        self._call = nullcontext if sites else simulating
        TaskIdentity.run_id = self._run_id
        TaskIdentity.node_id = SUPERLINK_NODE_ID
        TaskIdentity.task_id = secrets.randbits(62)

    def set_run(self, run: Run) -> None:
        """Refuse: the grid makes its own run."""
        raise RuntimeError("An in-process grid makes its own run.")

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
        """Keep messages until their replies are pulled."""
        ids = []
        for message in messages:
            message_id = str(uuid4())
            message.metadata.__dict__["_message_id"] = message_id
            self._pending[message_id] = message
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Work the first pending message of `message_ids`, in the order they were pushed."""
        pending = message_ids if isinstance(message_ids, Set) else set(message_ids)
        for message_id in self._pending:
            if message_id in pending:
                return [self._work(self._pending.pop(message_id))]
        return []

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

    def _work(self, message: Message) -> Message:
        context = self._contexts[message.metadata.dst_node_id]
        try:
            with self._call():
                return self._app(message, context)
        except Exception as error:  # every grid turns a client's exception into an error reply
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def run(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_nodes: int,
    log_file: Path,
) -> None:
    """Run the app in this process; what it raises comes through. See `engines.run_app`.

    Raises:
        ConfigError: a Ray cluster is given, which this engine does not use.
    """
    if engine.address is not None:
        raise ConfigError(
            f"engine.address={engine.address} is a Ray cluster, which engine=inprocess does not "
            "use; set it to null or choose engine=ray."
        )
    server_app = load_component(app.server)
    client_app = load_component(app.client)
    assert isinstance(server_app, ServerApp) and isinstance(client_app, ClientApp)
    states = log_file.parent.resolve() / "clients"
    sites = [
        {"site": name, "data-root": folder, "state-dir": str(states / name)}
        for name, folder in (engine.sites or {}).items()
    ]
    grid = InProcessGrid(client_app, run_config, num_nodes, sites)
    context = Context(
        run_id=TaskIdentity.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=dict(run_config),
    )
    server_app(grid, context)


def load_component(reference: str) -> object:
    """The object that `module:name` refers to."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
