"""One cache for the whole test session, and small real runs."""

import gc
import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is loaded, and for the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # where nothing is configured

import pytest
from flwr.common.logger import FLOWER_LOGGER

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.engines import App, run_app
from fedvlm_flwr.evaluation.answers import by_task
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import RunFolder
from fedvlm_flwr.simulation import simulating
from tests.duration import mark_slow, slowest_first
from tests.hf_tiny import tiny_checkpoint
from tests.llava_sources import clip_checkpoint, llama_checkpoint
from tests.trees import remember_files, remember_trees

ROOT = Path(__file__).resolve().parents[1]

# The real tiny model, on a few pictures.
SMALL = ("experiment=smoke", "engine=inprocess")

Start = Callable[..., RunFolder]

# Enough steps on one client for answers that depend on what is asked.
FINISHED = (
    "num_rounds=1",
    "num_clients=1",
    "train.local_steps=20",
    "train.lr=1e-3",
    "dataset.test_pictures=3",
    "eval.shuffled=false",
    "eval.every=9",
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What `make quick` leaves out is marked, and starts first where it is run."""
    mark_slow(items)
    items[:] = slowest_first(items)


def pytest_configure() -> None:
    """What is imported until the tests are collected stays, and is not looked through."""
    gc.disable()
    remember_files()
    remember_trees()


def pytest_collection_finish() -> None:
    """From now on there is garbage, and what has been imported is passed over in looking for it."""
    gc.freeze()
    gc.enable()


def global_test_set(config: Config) -> dict[str, list[Example]]:
    """The configured test set by task."""
    data = this_process().data(config)
    return by_task(examples(data.test, data.root))


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$FEDVLM_HOME of the session: nothing is read from or left in the user's own cache.

    A session that is started by a test may go on with that test's, $FEDVLM_TESTS_HOME. Each process
    that shares a session's tests has one of its own: they never wait for each other.
    """
    folder = Path(os.environ.get("FEDVLM_TESTS_HOME") or tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(folder))
        patch.setenv("FEDVLM_RUNS", str(folder / "runs"))
        patch.setenv("FEDVLM_FOLLOWED", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield folder


@pytest.fixture(scope="session")
def small(home: Path) -> list[str]:
    """Overrides of a small run."""
    return list(SMALL)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small CLIP."""
    return str(clip_checkpoint(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small Llama."""
    return str(llama_checkpoint(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="session")
def hf_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint of a transformers family, written once."""
    root = tmp_path_factory.mktemp("hf")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.exists() else tiny_checkpoint(family, path)

    return folder


@pytest.fixture(scope="session")
def app() -> App:
    """The app of this checkout."""
    return App("server_app.app:app", "client_app.app:app")


@pytest.fixture(scope="session")
def start(small: list[str], app: App, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Run the app with further overrides and return its run folder; errors come through."""

    def run(*overrides: str, name: str = "run", client: str | None = None) -> RunFolder:
        root = tmp_path_factory.mktemp("runs")
        run_config = {
            "overrides": shlex.join([*small, *overrides]),
            "output-dir": str(root),
            "run-name": name,
        }
        config = this_process().compose(run_config)
        chosen = App(app.server, client or app.client)
        folder = RunFolder(root / name)
        folder.path.mkdir()
        clients = config.num_clients or 1
        run_app(chosen, run_config, config.engine, clients, folder.path / "engine.log")
        return folder

    return run


@pytest.fixture(scope="session")
def finished(start: Start) -> RunFolder:
    """A finished run of the tiny LLaVA; whoever writes into it works on a copy."""
    return start(*FINISHED, name="finished")


@pytest.fixture(scope="session")
def of_a_family(start: Start, hf_checkpoint: Callable[[str], Path]) -> RunFolder:
    """The same of a transformers family, from a tiny random checkpoint."""
    model = ("model=hf_vlm", f"model.checkpoint={hf_checkpoint('idefics3')}", "model.dtype=float32")
    return start(*model, *FINISHED, name="family")


@pytest.fixture
def run_copy(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the finished run that may be changed."""
    return RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))


@pytest.fixture
def simulation() -> Iterator[None]:
    """What is called in a test is a simulated node's work, as inside the in-process engine."""
    with simulating():
        yield


@pytest.fixture
def flower_log() -> Iterator[list[str]]:
    """What goes to Flower's log, a line each."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Lines()
    FLOWER_LOGGER.addHandler(handler)
    yield lines
    FLOWER_LOGGER.removeHandler(handler)
