"""Run a federation, or with -m a sweep over several.

usage: fedvlm run [-m] [KEY=VALUE ...]

Keys and values are Hydra's, from the YAML files in conf/:

    fedvlm run                                     the default run
    fedvlm run num_rounds=3 partition=dirichlet partition.alpha=0.1
    fedvlm run engine=inprocess train.lr=3e-4
    fedvlm run -m seed=0,1,2 partition=iid,task    six runs, one after the other

--cfg job prints the whole configuration, --info all where each value comes from. The exit status
is 0 only if every run succeeded.
"""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fedvlm_flwr.bundle import app_folder
from fedvlm_flwr.config import Config, Scalar, from_hydra
from fedvlm_flwr.engines import App, run_app
from fedvlm_flwr.errors import FedVLMError, RunError
from fedvlm_flwr.paths import conf_dir, fedvlm_home
from fedvlm_flwr.report.follow import following
from fedvlm_flwr.run_folder import FOLLOWED, PROGRESS, RunFolder, run_name, runs_root

LOG = "engine.log"
TERMINATED = 128 + signal.SIGTERM


def main(arguments: list[str]) -> int:
    """Compose the configuration with Hydra and run each job; 1 if any failed."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that engines are ended
    failures: list[str] = []
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")

    def job(tree: DictConfig) -> None:
        try:
            run_job(tree, stamp)
        except FedVLMError as error:
            print(f"error: {error}", file=sys.stderr)
            failures.append(" ".join(HydraConfig.get().overrides.task) or "the default run")

    _with_hydra(arguments, stamp, job)
    if failures and ("-m" in arguments or "--multirun" in arguments):
        print(f"{len(failures)} runs failed: {'; '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


def _with_hydra(arguments: list[str], stamp: str, job: Callable[[DictConfig], None]) -> None:
    """Let Hydra read the command line, call `job` once or once per combination."""
    sweep = fedvlm_home() / "runs" / f"sweep-{stamp}"
    before = sys.argv
    sys.argv = ["fedvlm run", *arguments, f"hydra.sweep.dir='{sweep}'"]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()
    finally:
        sys.argv = before


def run_job(tree: DictConfig, stamp: str) -> RunFolder:
    """Run one federation and show its progress.

    Raises:
        FedVLMError: the configuration is wrong, or the run failed.
    """
    settings = HydraConfig.get()
    config = from_hydra(tree)
    if settings.mode == RunMode.MULTIRUN:
        config = replace(
            config,
            output_dir=str(runs_root(config) / f"sweep-{stamp}"),
            run_name=config.run_name or _job_name(settings.job.num, list(settings.overrides.task)),
        )
    folder = RunFolder(runs_root(config) / run_name(config))
    # The folder is settled here; free-form overrides win over the run-config's own keys.
    placed = ("output_dir", "run_name")
    chosen = [word for word in settings.overrides.task if word.split("=")[0] not in placed]
    run_config: dict[str, Scalar] = {
        "overrides": shlex.join(chosen),
        "output-dir": str(folder.path.parent),
        "run-name": folder.path.name,
    }
    return run_federation(config, run_config, folder)


def _job_name(number: int, overrides: list[str]) -> str:
    plain = re.sub(r"[^\w.,=+-]+", "_", "-".join(overrides))
    return "-".join([f"{number:03d}", *([plain] if plain else [])])[:120]


def run_federation(config: Config, run_config: dict[str, Scalar], folder: RunFolder) -> RunFolder:
    """Start the engine and show what the run folder tells until it ends.

    Raises:
        FedVLMError: the run failed; the server's own sentence where it left one.
    """
    folder.require_new()
    folder.path.mkdir(parents=True, exist_ok=True)
    os.environ[FOLLOWED] = str(os.getpid())
    try:
        with app_folder() as bundle, following(folder):
            app = App(bundle, "server_app.app:app", "client_app.app:app")
            run_app(app, run_config, config.engine, config.num_clients, folder.path / LOG)
    except FedVLMError as error:
        told = [event["message"] for event in folder.lines(PROGRESS) if event["event"] == "error"]
        if not told:
            raise
        raise RunError(f"{told[-1]}\nrun folder: {folder.path}") from error
    finally:
        del os.environ[FOLLOWED]
    return folder
