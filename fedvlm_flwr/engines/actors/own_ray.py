"""Ray, started for a run or joined by it, and the actors that a run has in it."""

import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from fedvlm_flwr.config import Engine
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.actors.actor import Actor
from fedvlm_flwr.engines.actors.environment import OWN_RAY, of_actors
from fedvlm_flwr.engines.actors.guard import Guard
from fedvlm_flwr.engines.actors.logs import logging_into
from fedvlm_flwr.engines.actors.pool import Pool
from fedvlm_flwr.errors import ConfigError, FedVLMError, RunError
from fedvlm_flwr.processes import family, lives, send

OURS = (signal.SIGTERM,)  # of which Ray would print where in its own code it came
VITAL = ("gcs_server", "raylet")  # of a Ray of the run's own: without one nothing answers any more
ENDING_SECONDS = 20.0  # after which what stands still is ended by force


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

    Args:
        guard: is told when it has started, or has said why not.

    Attributes:
        pool: works messages as soon as there are actors.
    """

    def __init__(self, setting: Setting, guard: Guard) -> None:
        self.pool = Pool(self._actor)
        self._setting = setting
        self._guard = guard
        self._failure: Exception | None = None
        self._roots: set[psutil.Process] = set()
        self._family: set[psutil.Process] = set()
        self._vital: dict[str, psutil.Process] = {}
        self._has_settled = threading.Event()
        self._is_over = threading.Event()
        self._has_ended = threading.Event()
        self._handlers: dict[int, Any] = {}
        # Linux ends what a thread has started with the thread: it lives as long as Ray does.
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> "OwnRay":
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.getsignal(number) for number in OURS}
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End Ray, however often the user asks for it: half of it would stay behind."""
        self._is_over.set()
        if error is not None and not self._has_settled.is_set():
            print("ending, once Ray has started, which takes seconds", file=sys.stderr, flush=True)
        interrupt = None
        # An event: a thread whose join is interrupted seems to have ended.
        while not self._has_ended.is_set():
            try:
                self._has_ended.wait()
            except (KeyboardInterrupt, SystemExit) as again:
                interrupt = again
        self._thread.join()
        if interrupt is not None and error is None:
            raise interrupt

    def keep_handlers(self) -> None:
        """Have our handlers of signals back, once: Ray has put its own there as it started."""
        if self._handlers and self._has_settled.is_set():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers = {}

    def has_failed(self) -> bool:
        """Whether Ray has not started; nobody need wait for a reply."""
        return self._failure is not None

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

    def _go(self) -> None:
        try:
            self._live()
        finally:
            self._has_ended.set()

    def _live(self) -> None:
        """Start Ray, have it work, and end it."""
        import ray

        with logging_into("ray", self._setting.log_file):
            if ray.is_initialized():
                self._failure = ConfigError(
                    "This process has a Ray already, and a run has one of its own; call "
                    "ray.shutdown() before it, or choose engine=inprocess."
                )
                return
            try:
                self._connect()
                self.pool.employ(self._number())
            except Exception as error:  # told where replies are waited for
                self._failure = error
                self.pool.wake()
            self._has_settled.set()
            self._guard.lift_limit()
            self._is_over.wait()
            self._look()
            if not all(map(lives, self._vital.values())):
                self._kill()
            force = threading.Timer(ENDING_SECONDS, self._kill)
            force.daemon = True
            force.start()
            self.pool.close()
            ray.shutdown()
            force.cancel()
            self._kill()

    def _look(self) -> None:
        """See what there is of a Ray of the run's own: an orphan is found no more."""
        self._family |= {each for root in self._roots for each in family(root.pid)}

    def _kill(self) -> None:
        """End what has not ended by itself, as some do not if another was killed."""
        for process in self._family:
            send(process, signal.SIGKILL)

    def _connect(self) -> None:
        """Start Ray, or join the cluster that is configured."""
        import ray

        address, before = self._setting.engine.address, set(psutil.Process().children())
        ray.init(
            address=address or OWN_RAY,
            include_dashboard=None if address else False,
            runtime_env={"env_vars": of_actors(os.environ)} if address else None,
            log_to_driver=False,
            _temp_dir=None if address else str(self._setting.home),
        )
        if address is None:
            self._roots = set(psutil.Process().children()) - before
            self._vital = {each.name(): each for each in self._roots if each.name() in VITAL}
            self._look()

    def _number(self) -> int:
        """How many actors there are to be.

        Raises:
            ConfigError: no node has room for one.
        """
        import ray

        engine = self._setting.engine
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        number = sum(room(node["Resources"], engine) for node in nodes)
        if number == 0:
            raise ConfigError(
                "None of Ray's nodes has room for a client: "
                f"engine.cpus_per_client={engine.cpus_per_client}, "
                f"engine.gpus_per_client={engine.gpus_per_client:g}; lower them."
            )
        return min(number, self._setting.most)

    def _actor(self) -> Any:
        """A new actor, in a process that begins to load what it needs."""
        import ray

        engine, app = self._setting.engine, self._setting.app
        kind = ray.remote(
            num_cpus=engine.cpus_per_client,
            num_gpus=engine.gpus_per_client,
            scheduling_strategy="SPREAD",
        )(Actor)
        return kind.remote(app.client, app.needs, str(self._setting.log_file))


def room(resources: dict[str, float], engine: Engine) -> int:
    """Actors that a node has the resources for; one that has gone has none."""
    number = int(resources.get("CPU", 0.0) / engine.cpus_per_client)
    if engine.gpus_per_client:
        number = min(number, int(resources.get("GPU", 0.0) / engine.gpus_per_client))
    return number
