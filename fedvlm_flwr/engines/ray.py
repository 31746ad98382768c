"""Flower's simulation on Ray, in a SuperLink of the run's own that ends with it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.base import write_run_config
from fedvlm_flwr.engines.simulation.environment import engine_environment, socket_parent
from fedvlm_flwr.engines.simulation.last_words import last_words
from fedvlm_flwr.engines.simulation.processes import wait_for
from fedvlm_flwr.engines.simulation.resources import require_cluster, require_resources
from fedvlm_flwr.engines.simulation.superlink import CONNECTION, FINISHED, script, status, superlink
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.temporary import temporary_folder

SEPARATE_PROCESSES = True
OUTLIVES_COMMAND = False
COMPLETED = f"{FINISHED}:completed"
DIED = "died"
LEAST_DISK = 1e6  # bytes; a fuller disk takes no log
OUT_OF_MEMORY = "nothing in its log says why: it was killed, perhaps since memory ran out"


def run(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_nodes: int,
    log_file: Path,
) -> None:
    """Run the app as a Flower simulation and wait for its end. See `engines.run_app`.

    Raises:
        ConfigError: a client process is to have more than the machine has.
        RunError: the SuperLink does not start, or the run does not end as completed.
    """
    if engine.address is None:
        require_resources(engine)
    else:
        print(f"using the Ray cluster at {engine.address}", flush=True)
        require_cluster(engine.address, engine.address_timeout)
    start = log_file.stat().st_size if log_file.exists() else 0
    with temporary_folder(socket_parent(os.environ)) as home:
        command = _command(app, run_config, engine, num_nodes, home)
        environment = engine_environment(os.environ, home, engine.address)
        try:
            end = _end_of(command, home, environment, log_file)
        except RunError as error:
            end = str(error)
    if end != COMPLETED:
        words = last_words(log_file, start) or _guess(end, log_file)
        reason = f" ({words})" if words else ""
        raise RunError(f"The Flower run ended as '{end}'{reason}; its log is {log_file}.")


def _command(
    app: App, run_config: Mapping[str, Scalar], engine: Engine, num_nodes: int, home: Path
) -> list[str]:
    """The words of `flwr run`."""
    config_file = write_run_config(home, run_config)
    federation = (
        f"num-supernodes={num_nodes} "
        f"client-resources-num-cpus={engine.cpus_per_client} "
        f"client-resources-num-gpus={engine.gpus_per_client}"
    )
    words = [script("flwr"), "run", str(app.folder), CONNECTION, "--stream"]
    return [*words, "--run-config", str(config_file), "--federation-config", federation]


def _end_of(command: list[str], home: Path, environment: Mapping[str, str], log_file: Path) -> str:
    """How the run ended: Flower's status, or what has ended before it."""
    with log_file.open("ab") as log, superlink(home, environment, log_file) as watch:
        process = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)
        dead = wait_for(process, watch)
        if dead is not None:
            return _finished(environment) or f"{dead} {DIED}"
        if process.returncode != 0:
            return f"`flwr run` exited with {process.returncode}"
        return status(environment)


def _guess(end: str, log_file: Path) -> str:
    """What it may have died of, where the log does not say."""
    if shutil.disk_usage(log_file.parent).free < LEAST_DISK:
        return f"no space is left in {log_file.parent}"
    return OUT_OF_MEMORY if end.endswith(DIED) else ""


def _finished(environment: Mapping[str, str]) -> str | None:
    """The status of a run that is finished; None for one that is not, or of which nobody knows."""
    try:
        text = status(environment, seconds=0)
    except RunError:
        return None
    return text if text.startswith(FINISHED) else None
