"""What carries messages between a ServerApp and its ClientApps, chosen by `engine.name`.

An engine is a module with `run(app, run_config, engine, num_clients, log_file) -> None`, which
returns when the run has succeeded and raises when it has not. It starts an app that it is given
and knows neither strategies nor models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.contracts import EngineKind
from fedvlm_flwr.plugins import load_as


@dataclass(frozen=True)
class App:
    """A Flower app: its two components as `module:name`.

    Attributes:
        needs: modules that a client's work brings in, for engines that can load them ahead.
    """

    server: str
    client: str
    needs: tuple[str, ...] = ()


def engine_kind(name: str) -> EngineKind[App]:
    """The module of an engine.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(EngineKind, __name__, name, "engine")


def run_app(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_clients: int,
    log_file: Path,
) -> None:
    """Run an app on the configured engine.

    Args:
        run_config: Flower's run-config for the server and every client.
        num_clients: how many there are; `engine.num_supernodes` nodes at most serve them.
        log_file: takes what the engine's processes print, where it has processes of its own.

    Raises:
        ConfigError: unknown engine.
        RunError: the run failed.
    """
    nodes = engine.nodes_for(num_clients)
    engine_kind(engine.name).run(app, run_config, engine, nodes, log_file)
