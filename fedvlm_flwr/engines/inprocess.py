"""Server and clients in one process: the very same apps, without Ray, sockets or copies."""

from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from pathlib import Path

from flwr.app import Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.base import LocalGrid, NodeConfig, Task, load_component, serve, simulated
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.simulation import simulating

SEPARATE_PROCESSES = False
OUTLIVES_COMMAND = False


class InProcessGrid(LocalGrid):
    """A grid whose nodes are contexts of one ClientApp, called when their reply is asked for.

    Only one reply exists at a time: a message is worked when it is pulled, in the order they were
    pushed.

    Args:
        num_nodes: simulated nodes.
        sites: the node-configs of real sites that stand here instead.
    """

    def __init__(
        self,
        client_app: ClientApp,
        run_config: Mapping[str, Scalar],
        num_nodes: int,
        sites: Sequence[NodeConfig] = (),
    ) -> None:
        super().__init__(sites or simulated(num_nodes), run_config)
        self._app = client_app
        self._pending: dict[str, Message] = {}
        self._call = nullcontext if sites else simulating

    def take(self, tasks: Sequence[Task]) -> None:
        """Hold them until their replies are pulled."""
        self._pending |= {message.metadata.message_id: message for message, _ in tasks}

    def reply(self, pending: Set[str]) -> Message | None:
        """Work the first of these messages."""
        for message_id in self._pending:
            if message_id in pending:
                return self._work(self._pending.pop(message_id))
        return None

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
    client_app = load_component(app.client)
    assert isinstance(client_app, ClientApp)
    states = log_file.parent.resolve() / "clients"
    sites = [
        {"site": name, "data-root": folder, "state-dir": str(states / name)}
        for name, folder in (engine.sites or {}).items()
    ]
    serve(app.server, InProcessGrid(client_app, run_config, num_nodes, sites), run_config)
