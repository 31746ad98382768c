"""A SuperLink that the user's Flower knows by name, and Flower's commands that talk to it."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedvlm_flwr.engines.actors.environment import FIXED, without_proxy
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.processes import script

LOCAL = ":local:"  # the address with which Flower starts a SuperLink of its own, for simulations
FINISHED = "finished"
UNKNOWN_RUN = "Run ID not found"
ANSWER_SECONDS = 60.0  # for one command of Flower's, which has a time limit of its own


@dataclass(frozen=True)
class State:
    """How a run is, by its SuperLink.

    Attributes:
        status: e.g. `running` or `finished:completed`.
        details: the SuperLink's words on it; may be empty.
    """

    status: str
    details: str

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status.startswith(FINISHED)

    @property
    def is_completed(self) -> bool:
        """Whether it has ended well."""
        return self.status == f"{FINISHED}:completed"


class NoAnswerError(RunError):
    """The SuperLink cannot be reached."""


class Connection:
    """The SuperLink of a connection's name."""

    def __init__(self, name: str) -> None:
        """Look the name up.

        Raises:
            ConfigError: Flower's configuration has no such SuperLink; says what it has.
        """
        self.name = name
        self.address = str(_entry(name)["address"])
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        self._environment = {**os.environ, **FIXED, **without_proxy(os.environ), "PATH": path}

    def start(self, app: Path, run_config: Path) -> str:
        """Start a run; Flower's id of it.

        Raises:
            RunError: it is refused, or the SuperLink does not answer; in Flower's words.
        """
        answer = self._ask("run", str(app), self.name, "--run-config", str(run_config))
        return str(answer["run-id"])

    def state(self, run: str) -> State | None:
        """How a run is; None where the SuperLink knows of no such run.

        Raises:
            NoAnswerError: the SuperLink does not answer.
        """
        try:
            (row,) = self._ask("list", self.name, "--run-id", run)["runs"]
        except NoAnswerError as error:
            if UNKNOWN_RUN in str(error):
                return None
            raise
        details = str(row["status-details"])
        return State(str(row["status"]), "" if details == "N/A" else details)

    @contextmanager
    def log(self, run: str) -> Iterator[IO[str]]:
        """The run's log, from its beginning, as it grows; it ends with the run or the connection.

        What does not arrive by then is not told: `state` says how the run is.
        """
        process = subprocess.Popen(
            [script("flwr"), "log", run, self.name],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # words on the connection; `state` asks for them
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # an interrupt at the terminal is ours to answer
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def _ask(self, *words: str) -> dict[str, Any]:
        """The JSON that a command of Flower's answers.

        Raises:
            NoAnswerError: it has failed; in its words.
        """
        command = [script("flwr"), *words, "--format", "json"]
        try:
            done = subprocess.run(
                command,
                env=self._environment,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswerError(f"no answer in {ANSWER_SECONDS:g} s") from error
        try:
            answer = json.loads(done.stdout)
            failure = "" if answer["success"] else _sentence(str(answer["error-message"]))
        except (ValueError, KeyError, TypeError):
            failure = _sentence(done.stdout + done.stderr)
        if failure:
            raise NoAnswerError(failure)
        assert isinstance(answer, dict)
        return answer


def _sentence(text: str) -> str:
    """The last paragraph of what Flower prints: the ones before tell what it was doing."""
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return next((part for part in reversed(paragraphs) if part), "it says nothing")


def config_file() -> Path:
    """The file in which the user's Flower knows SuperLinks."""
    return Path(os.environ.get("FLWR_HOME") or Path.home() / ".flwr") / "config.toml"


def _entry(name: str) -> Mapping[str, Any]:
    path = config_file()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("superlink", {})
    except FileNotFoundError:
        table = {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); mend it.") from error
    named = {
        key: entry
        for key, entry in table.items()
        if isinstance(entry, Mapping) and entry.get("address") not in (None, LOCAL)
    }
    if name not in named:
        there = f"there are: {', '.join(sorted(named))}" if named else "there is none"
        raise ConfigError(
            f"engine.connection={name}, but {path} has no [superlink.{name}] with the address of "
            f"a SuperLink ({there}); add it, as docs/deploy.md says."
        )
    entry: Mapping[str, Any] = named[name]
    return entry
