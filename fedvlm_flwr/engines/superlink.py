"""Real sites: a run at a SuperLink that the user's Flower knows, followed from here."""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from fedvlm_flwr.bundle import app_folder
from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.config.keys import facts_at
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.deployed.connection import Connection, State
from fedvlm_flwr.engines.deployed.follow import follow
from fedvlm_flwr.engines.deployed.note import Note
from fedvlm_flwr.engines.deployed.run_config import write_run_config
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.log_stream import LogReceiver
from fedvlm_flwr.report.live import size
from fedvlm_flwr.run_folder import PROGRESS, RunFolder
from fedvlm_flwr.temporary import temporary_folder

SEPARATE_PROCESSES = True
OUTLIVES_COMMAND = True


def run(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_nodes: int,
    log_file: Path,
) -> None:
    """Start the app at the SuperLink, or find it running, and wait for its end.

    Its events and files come into the folder of `log_file`. See `engines.run_app`.

    Raises:
        ConfigError: `engine.connection` is not set, or no SuperLink that Flower knows.
        RunError: the run is refused, does not end as completed, its result has not arrived whole,
            or the SuperLink is silent for more than `engine.address_timeout` seconds.
    """
    if engine.connection is None:
        raise ConfigError(
            "engine=superlink needs engine.connection=NAME, the [superlink.NAME] in Flower's "
            "config.toml that has the SuperLink's address; docs/deploy.md tells how it is written."
        )
    connection, folder = Connection(engine.connection), RunFolder(log_file.parent)
    with folder.locked():
        note = _under_way(connection, folder) if "resume" in run_config else None
        if note is None:
            note = _started(run_config, connection, folder)
        print(f"run {note.run} at {connection.name} ({connection.address})", flush=True)
        receiver = LogReceiver(folder, note.run)
        try:
            state = _followed(connection, note, receiver, engine, log_file)
        except (KeyboardInterrupt, SystemExit):
            print(_detached(note, folder), file=sys.stderr)
            raise
        if not state.is_completed:
            raise RunError(_ended(state, note.run, folder, log_file))
        _require_result(receiver, note, folder)
        receiver.tell_last()


def _under_way(connection: Connection, folder: RunFolder) -> Note | None:
    """The note of a run that goes on there, or has completed and not brought its result here."""
    note = Note.read(folder)
    state = connection.state(note.run)
    if state is None or (state.is_finished and not state.is_completed):
        return None
    return None if state.is_completed and folder.is_finished() else note


def _started(run_config: Mapping[str, Scalar], connection: Connection, folder: RunFolder) -> Note:
    """Start a run there: a new one in a folder that nobody else's has, or one that goes on."""
    # What names the user's folder stays here: the run has another one there.
    values = {
        key: value
        for key, value in run_config.items()
        if not facts_at(key.replace("-", "_"), {}).place
    }
    place = Note.read(folder).place if "resume" in run_config else None
    if place is None:
        values["run-name"] = f"{folder.path.name}-{secrets.token_hex(4)}"
    else:
        values["resume"] = place
    with temporary_folder() as temporary, app_folder() as app:
        try:
            number = connection.start(app, write_run_config(temporary, values))
        except RunError as error:
            raise RunError(
                f"The run could not be started at engine.connection={connection.name} "
                f"({connection.address}): {error}"
            ) from error
    note = Note(connection.name, number, place)
    note.write(folder)
    return note


def _followed(
    connection: Connection, note: Note, receiver: LogReceiver, engine: Engine, log_file: Path
) -> State:
    folder = RunFolder(log_file.parent)

    def keep(place: str) -> None:
        Note(note.connection, note.run, place).write(folder)

    try:
        return follow(connection, note.run, receiver, log_file, engine.address_timeout, keep)
    except RunError as error:
        raise RunError(f"{error} {folder.way_on}") from error


def _ended(state: State, run: str, folder: RunFolder, log_file: Path) -> str:
    words = f" ({state.details})" if state.details else ""
    return f"The run {run} ended as '{state.status}'{words}; its log is {log_file}. {folder.way_on}"


def _detached(note: Note, folder: RunFolder) -> str:
    again = folder.resumption if folder.has_begun else f"flwr log {note.run} {note.connection}"
    return (
        f"not followed any more; the run {note.run} goes on at {note.connection}\n"
        f"  follow it again: {again}\n"
        f"  stop it:         flwr stop {note.run} {note.connection}"
    )


def _require_result(receiver: LogReceiver, note: Note, folder: RunFolder) -> None:
    """See that all of the result is here; say what is too large.

    Raises:
        RunError: names what is not here, and where it is.
    """
    place = receiver.place or "the run's folder"
    if receiver.last is None or receiver.missing():
        lost = ", ".join(receiver.missing()) or "its end"
        raise RunError(
            f"The run {note.run} has completed, but its result has not arrived whole ({lost}); it "
            f"is in {place} on the SuperLink's host. Fetch it again with: {folder.resumption}"
        )
    for name, num_bytes in receiver.stays.items():
        words = (
            f"{name} has {size(num_bytes)}, more than engine.result_megabytes: it stays on the "
            f"SuperLink's host, {place}/{name}"
        )
        folder.append(PROGRESS, {"event": "warning", "message": words})
