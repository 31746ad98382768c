"""Ray, started for a run or joined by it, and the actors that a run has in it."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fedvlm_flwr.config import Engine
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.actors.actor import Actor
from fedvlm_flwr.engines.actors.environment import OWN_RAY, of_actors
from fedvlm_flwr.engines.actors.logs import logging_into
from fedvlm_flwr.engines.actors.pool import Pool
from fedvlm_flwr.errors import ConfigError, FedVLMError, RunError
from fedvlm_flwr.processes import lives

VITAL = ("gcs_server", "raylet")  # of a Ray of the run's own: without one nothing answers any more


@dataclass(frozen=True)
class Setting:
    """What a run's Ray is to be.

    Attributes:
        home: a folder of the run's own, where a Ray of its own keeps its files.
        most: actors, at most.
    """

    app: App
    engine: Engine
    home: Path
    log_file: Path
    most: int


class OwnRay:
    """Ray for one run; it starts in a thread of its own, while the server does.

    Attributes:
        pool: works messages as soon as there are actors.
    """

    def __init__(self, setting: Setting) -> None:
        self.pool = Pool()
        self._setting = setting
        self._failure: Exception | None = None
        self._vital: dict[str, psutil.Process] = {}
        self._is_over = threading.Event()
        # Linux ends what a thread has started with the thread: it lives as long as Ray does.
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> "OwnRay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def is_broken(self) -> bool:
        """Whether no reply will come any more."""
        return self._failure is not None or not all(map(lives, self._vital.values()))

    def require(self) -> None:
        """See that replies can come.

        Raises:
            ConfigError: there is no room for an actor.
            RunError: Ray does not start, or one of its processes has ended.
        """
        if isinstance(self._failure, FedVLMError):
            raise self._failure
        if self._failure is not None:
            words = " ".join(str(self._failure).split()) or type(self._failure).__name__
            raise RunError(f"Ray does not start: {words}") from self._failure
        for name, process in self._vital.items():
            if not lives(process):
                raise RunError(
                    f"Ray's process '{name}' has ended; nothing in its log says why: it was "
                    "killed, perhaps since memory ran out."
                )

    def _live(self) -> None:
        """Start Ray, have it work, and end it."""
        import ray

        with logging_into("ray", self._setting.log_file):
            try:
                self._connect()
                self.pool.employ(self._actors())
            except Exception as error:  # told where replies are waited for
                self._failure = error
                self.pool.wake()
            self._is_over.wait()
            self.pool.close()
            ray.shutdown()

    def _connect(self) -> None:
        """Start Ray, or join the cluster that is configured."""
        import ray

        address = self._setting.engine.address
        ray.init(
            address=address or OWN_RAY,
            include_dashboard=None if address else False,
            runtime_env={"env_vars": of_actors(os.environ)} if address else None,
            log_to_driver=False,
            _temp_dir=None if address else str(self._setting.home),
        )
        if address is None:
            ours = {each.name(): each for each in psutil.Process().children()}
            self._vital = {name: ours[name] for name in VITAL}

    def _actors(self) -> Iterator[Any]:
        """The actors, each in a process that begins to load what it needs.

        Raises:
            ConfigError: no node has room for one.
        """
        import ray

        engine, app = self._setting.engine, self._setting.app
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        number = min(self._setting.most, sum(room(node["Resources"], engine) for node in nodes))
        if number == 0:
            raise ConfigError(
                f"No node of the Ray cluster has engine.cpus_per_client={engine.cpus_per_client} "
                f"CPU cores and engine.gpus_per_client={engine.gpus_per_client:g} GPUs; lower them."
            )
        kind = ray.remote(
            num_cpus=engine.cpus_per_client,
            num_gpus=engine.gpus_per_client,
            max_restarts=-1,  # its message is lost with a process, and no other is
            scheduling_strategy="SPREAD",
        )(Actor)
        for _ in range(number):
            yield kind.remote(app.client, app.needs, str(self._setting.log_file))


def room(resources: dict[str, float], engine: Engine) -> int:
    """Actors that a node has the resources for; one that has gone has none."""
    number = int(resources.get("CPU", 0.0) / engine.cpus_per_client)
    if engine.gpus_per_client:
        number = min(number, int(resources.get("GPU", 0.0) / engine.gpus_per_client))
    return number
