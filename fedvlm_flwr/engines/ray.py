"""Clients in processes of Ray's, which share its machines and GPUs; the server is this process."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Message

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.actors.environment import engine_environment, environment, socket_parent
from fedvlm_flwr.engines.actors.guard import Guard, Words
from fedvlm_flwr.engines.actors.logs import logging_into
from fedvlm_flwr.engines.actors.own_ray import OwnRay, Setting
from fedvlm_flwr.engines.actors.resources import require_cluster, require_resources
from fedvlm_flwr.engines.base import LocalGrid, Task, serve, simulated
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.run_folder import CONFIG, NOT_BEGUN, RunFolder
from fedvlm_flwr.temporary import temporary_folder

SEPARATE_PROCESSES = True
OUTLIVES_COMMAND = False

_only = threading.Lock()  # Ray and the environment are the process's


class RayGrid(LocalGrid):
    """A grid whose nodes are worked by Ray's actors, as many at a time as there are actors."""

    def __init__(self, ray: OwnRay, run_config: Mapping[str, Scalar], num_nodes: int) -> None:
        super().__init__(simulated(num_nodes), run_config)
        self._ray = ray

    def take(self, tasks: Sequence[Task]) -> None:
        """Have the actors work them."""
        self._ray.pool.put(tasks)

    def reply(self, pending: Set[str]) -> Message | None:
        """The reply to one of these messages; None: there is none within a moment.

        Raises:
            FedVLMError: there will be none: see `OwnRay.require`.
        """
        self._ray.keep_handlers()
        reply = self._ray.pool.take(pending, self._ray.has_failed)
        if reply is None:
            self._ray.require()
        return reply


def run(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_nodes: int,
    log_file: Path,
) -> None:
    """Run the server here and the clients on Ray; what it raises comes through.

    See `engines.run_app`.

    Raises:
        ConfigError: a client process is to have more than the machine has.
        RunError: Ray does not start, or does not live as long as the run.
    """
    if engine.address is None:
        require_resources(engine)
    else:
        print(f"using the Ray cluster at {engine.address}", flush=True)
        require_cluster(engine.address, engine.address_timeout)
    with (
        logging_into("flwr", log_file),
        ray_grid(app, run_config, engine, num_nodes, log_file) as grid,
    ):
        serve(app.server, grid, run_config)


@contextmanager
def ray_grid(
    app: App, run_config: Mapping[str, Scalar], engine: Engine, num_nodes: int, log_file: Path
) -> Iterator[RayGrid]:
    """A grid with a Ray of its own, or on the configured cluster; nothing of it is left behind.

    Raises:
        ConfigError: this process has such a grid already.
    """
    if not _only.acquire(blocking=False):
        raise ConfigError(
            "This process has a run on Ray already, and can have one at a time; wait for its end, "
            "or start this one in another process."
        )
    try:
        with temporary_folder(socket_parent(os.environ)) as home:
            variables = engine_environment(os.environ, home, engine.address)
            setting = Setting(app, engine, home, log_file, num_nodes)
            with (
                environment(variables),
                Guard(home, words(log_file)) as guard,
                OwnRay(setting, guard) as ray,
            ):
                yield RayGrid(ray, run_config, num_nodes)
    finally:
        _only.release()


def words(log_file: Path) -> Words:
    """What a guard says of the run of a log file."""
    folder = RunFolder(log_file.parent)
    return Words(
        folder.path / CONFIG, NOT_BEGUN, f"Its log is {log_file}. Go on with: {folder.resumption}"
    )
