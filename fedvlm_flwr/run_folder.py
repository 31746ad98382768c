"""The run folder: what a run writes, and the reading of it."""

import fcntl
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Self

import yaml

from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import DamagedRun, RunError
from fedvlm_flwr.paths import fedvlm_home, write_atomic
from fedvlm_flwr.sealed import CHECKSUM, is_whole

CONFIG, METRICS, COST = "config.yaml", "metrics.jsonl", "cost.json"
PREDICTIONS, PROGRESS, ADAPTER = "predictions.jsonl", "progress.jsonl", "adapter"
FIRST_PREDICTIONS = "predictions_before.jsonl"  # those of the model before its first round
CURVE = "learning_curve.png"
NOT_BEGUN = "It had not begun: start it anew."
SURROUNDINGS = "surroundings.jsonl"  # a line whenever the run is started or gone on with
RESULT = "result.json"  # what it takes to answer as the run's evaluation did, beside the tensors
SITES = "sites.json"  # the names of real sites, by number
CHECKPOINT, CLIENTS, LOCK = "checkpoint.json", "clients", ".lock"
RUN_CONFIG = "run_config.json"  # what the run was started with, so that it can be resumed

RUNS = "FEDVLM_RUNS"  # in the environment: the parent of run folders
# In the environment: the process id of the command that shows progress.jsonl and owns the run.
FOLLOWED = "FEDVLM_FOLLOWED"


def run_name(config: Config) -> str:
    """The configured name, or one of the time and the choices."""
    if config.run_name:
        return config.run_name
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    choices = (config.algorithm, config.dataset, config.partition, config.tuning, config.model)
    return "-".join([now, *(choice.name for choice in choices), f"seed{config.seed}"])


def runs_root(config: Config) -> Path:
    """The parent of run folders where no command says it: as `flwr run` starts them."""
    place = config.output_dir or os.environ.get(RUNS)
    return Path(place).expanduser().resolve() if place else fedvlm_home() / "runs"


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted key; lists are leaves."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        result |= leaves(value, name) if isinstance(value, Mapping) else {name: value}
    return result


class RunFolder:
    """One run's folder; every file is flushed line by line or replaced whole.

    Attributes:
        config: the name of the file that holds its configuration.
    """

    config = CONFIG

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, config: Config) -> "RunFolder":
        """Make the folder of a new run.

        Raises:
            RunError: it already holds a run, or cannot be written.
        """
        if config.run_name is None:
            return cls.claim(runs_root(config), run_name(config))
        folder = cls(runs_root(config) / config.run_name)
        folder._make(exist_ok=True)
        folder.require_new()
        return folder

    @classmethod
    def claim(cls, parent: Path, name: str) -> Self:
        """Make a folder that is nobody else's: `<name>`, or `<name>-2` where that is taken, ...

        Raises:
            RunError: it cannot be made.
        """
        for number in count(1):
            folder = cls(parent / (name if number == 1 else f"{name}-{number}"))
            try:
                folder._make(exist_ok=False)
            except FileExistsError:
                continue
            return folder
        raise AssertionError("count() does not end")

    def _make(self, exist_ok: bool) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=exist_ok)
        except FileExistsError:
            if not exist_ok and self.path.is_dir():
                raise
            raise RunError(
                f"The run folder {self.path} cannot be made, a file is in its way; set output_dir "
                "or run_name."
            ) from None
        except OSError as error:
            raise RunError(
                f"The run folder {self.path} cannot be made ({error.strerror}); set output_dir to "
                "a folder that you can write, or a shorter run_name."
            ) from error

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The folder of a run to go on with.

        Raises:
            RunError: it holds no run.
        """
        folder = cls(Path(path).expanduser().resolve())
        if not (folder.path / CONFIG).exists():
            raise RunError(
                f"resume={path}, but that folder holds no run; name a run folder, or, where a run "
                "was ended before its first line, give its command again."
            )
        return folder

    def require_new(self) -> None:
        """Refuse a folder that a run has written to.

        Raises:
            RunError: names the folder.
        """
        if (self.path / CONFIG).exists():
            raise RunError(
                f"The run folder {self.path} already holds a run; choose another run_name or "
                "move it."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the run while the block lasts.

        Raises:
            RunError: another process is running it.
        """
        with (self.path / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
            except BlockingIOError as error:
                raise RunError(
                    f"{self.path} is being run by another process; wait for it or end it."
                ) from error
            yield

    def require_free(self) -> None:
        """Refuse a folder that another process is running.

        Raises:
            RunError: names the folder.
        """
        if self.is_locked():
            raise RunError(f"{self.path} is being run by another process; wait for it or end it.")

    def is_locked(self) -> bool:
        """Whether a process is running the run."""
        if not (self.path / LOCK).exists():
            return False
        with (self.path / LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def is_finished(self) -> bool:
        """Whether nothing is left to do, and the metrics are those that were written.

        Raises:
            RunError: the checkpoint is damaged, or a finished run's metrics are.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return False
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            finished, memory = bool(facts["finished"]), facts["callbacks"].get("MetricsWriter", {})
            if not is_whole(facts):
                raise ValueError("its checksum differs")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedRun(
                f"{path} is damaged ({error}); restore it, or remove the run."
            ) from error
        try:
            if finished:
                self.require_metrics(memory)
        except DamagedRun as damage:
            raise DamagedRun(f"{damage}; restore the file, or run it anew.") from damage
        return finished

    def require_metrics(self, memory: Mapping[str, Any]) -> None:
        """Refuse metrics that are not those of a checkpoint.

        Args:
            memory: their number of `bytes` up to there and their `sha256`.

        Raises:
            DamagedRun: they have changed, or are gone.
        """
        size = int(memory.get("bytes", 0))
        if size and self.digest(METRICS, size) != memory.get(CHECKSUM):
            fault = (
                "is not what the run had written" if self.size(METRICS) else "is empty or missing"
            )
            raise DamagedRun(f"{self.path / METRICS} {fault} (its first {size} bytes)")

    def write(self, name: str, text: str) -> None:
        """Replace a text file whole."""
        write_atomic(self.path / name, text)

    def write_lines(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace a file of JSON lines whole."""
        self.write(name, "".join(json.dumps(record) + "\n" for record in records))

    def append(self, name: str, *records: Mapping[str, Any]) -> None:
        """Add JSON lines and have them on disk before returning."""
        with (self.path / name).open("a", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def size(self, name: str) -> int:
        """Bytes of a file; 0 when it is not there."""
        path = self.path / name
        return path.stat().st_size if path.exists() else 0

    def digest(self, name: str, size: int) -> str:
        """The sha256 of a file's first bytes, in hex; of fewer where it is shorter."""
        path = self.path / name
        content = path.read_bytes()[:size] if path.exists() else b""
        return hashlib.sha256(content).hexdigest()

    def cut(self, name: str, size: int) -> None:
        """Keep only the first bytes of a file."""
        if self.size(name) > size:
            os.truncate(self.path / name, size)

    def cut_half_line(self, name: str) -> None:
        """Remove the line that a killed run did not finish."""
        if self.size(name):
            content = (self.path / name).read_bytes()
            self.cut(name, content.rfind(b"\n") + 1)

    def remove_damaged(self, name: str) -> str:
        """Remove the lines of a file that hold no record, and say so; empty where all do."""
        path = self.path / name
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for number, line in enumerate(lines, 1) if _holds_record(line, path, number)]
        if len(whole) == len(lines):
            return ""
        write_atomic(path, b"".join(whole).decode())
        return f"{len(lines) - len(whole)} damaged lines of {path} were removed; no number is lost."

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The finished JSON lines of a file; none when it is not there yet.

        Raises:
            RunError: a line is damaged; names it.
        """
        path = self.path / name
        if not path.exists():
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):  # a killed run may leave half a line behind
                    yield _record(line, path, number)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to go on with."""
        return (self.path / CONFIG).exists()

    @property
    def resumption(self) -> str:
        """The command that goes on with the run."""
        return f"fedvlm run resume={shlex.quote(str(self.path))}"

    @property
    def way_on(self) -> str:
        """What its user is told when it has ended early."""
        return f"Go on with: {self.resumption}" if self.has_begun else NOT_BEGUN

    def settings(self) -> dict[str, Any]:
        """The leaves of the run's configuration by dotted key (`train.lr`).

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / self.config
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RunError(f"{path} is damaged ({' '.join(str(error).split())}).") from error
        if not isinstance(tree, Mapping):
            raise RunError(f"{path} is damaged: it holds no configuration.")
        return leaves(tree)

    def run_config(self) -> dict[str, Any]:
        """What the run was started with, Flower's run-config.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / RUN_CONFIG
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path}, what the run was started with, cannot be read ({error}); restore the "
                "file, or start a new run."
            ) from error
        if not isinstance(values, dict):
            raise RunError(f"{path} is damaged: it holds no keys; restore the file.")
        return values

    def cost(self) -> dict[str, Any]:
        """The account of seconds, bytes, memory and model loads.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / COST
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read ({error}); a run that goes on writes it anew."
            ) from error
        if not isinstance(result, dict):
            raise RunError(f"{path} is damaged: it holds no account.")
        return result


def _holds_record(line: bytes, path: Path, number: int) -> bool:
    try:
        _record(line, path, number)
    except RunError:
        return False
    return True


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path}, line {number} is damaged ({error}); restore the file, or start a new run."
        ) from error
    if not isinstance(record, dict):
        raise RunError(f"{path}, line {number} is damaged: it holds no record; restore the file.")
    return record
