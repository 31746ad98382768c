"""What an exact continuation needs, on disk after each round."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.paths import atomic_path
from fedvlm_flwr.run_folder import CHECKPOINT, RunFolder
from strategies.core.events import Callback, Round
from strategies.core.state import ServerState

FORMAT = 3
SHARED, SERVER, PREVIOUS = "shared/", "server/", "previous/"
FOLDER = "checkpoints"


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read back.

    Attributes:
        run: the run's id, under which clients keep what stays with them.
        finished: whether nothing is left to do.
        memory: what the other callbacks must know again.
        previous: the previous stages' result.
    """

    run: str
    stage: int
    finished: bool
    state: ServerState
    memory: dict[str, Any]
    previous: Arrays


class Checkpoint(Callback):
    """Keeps `checkpoint.json` and the newest round's tensors, `checkpoints/*.safetensors`.

    The JSON names the tensor file and is replaced in one step after that file is complete, so that
    a kill at any moment leaves a whole checkpoint: the new one, or the one before.
    """

    def __init__(
        self, folder: RunFolder, run: str, stage: int, previous: Arrays, others: Callback
    ) -> None:
        self._folder = folder
        self._previous = previous
        self._facts: dict[str, Any] = {"format": FORMAT, "run": run, "stage": stage}
        self._others = others

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """Save the round; its evaluation is still to come."""
        self._write(state)

    def on_scored(self, state: ServerState) -> None:
        """Save that the scores are in, too."""
        self._write(state)

    def _write(self, state: ServerState) -> None:
        name = f"stage_{self._facts['stage']}_round_{state.number:04d}.safetensors"
        path = self._folder.path / FOLDER / name
        if not path.exists() or not state.scored:  # the scores change no tensor
            tensors = {SHARED + key: values for key, values in state.arrays.items()}
            tensors |= {SERVER + key: values for key, values in state.server.items()}
            tensors |= {PREVIOUS + key: values for key, values in self._previous.items()}
            with atomic_path(path) as temporary:
                save_file(tensors, str(temporary))
        saved = {str(client): number for client, number in sorted(state.saved_rounds.items())}
        clients = {"saved_rounds": saved, "have_previous": sorted(state.have_previous)}
        place = {"round": state.number, "scored": state.scored, **clients, "finished": False}
        self._save({**self._facts, **place, "tensors": name, "callbacks": self._others.memory()})
        for old in path.parent.glob("stage_*.safetensors"):
            if old != path:
                old.unlink()

    def finish(self) -> None:
        """Note that nothing is left to do; the last checkpoint may be an earlier process's."""
        text = (self._folder.path / CHECKPOINT).read_text(encoding="utf-8")
        self._save({**json.loads(text), "finished": True})

    def _save(self, facts: Mapping[str, Any]) -> None:
        self._folder.write(CHECKPOINT, json.dumps(facts, indent=2) + "\n")


def read_checkpoint(folder: RunFolder) -> Saved | None:
    """The checkpoint of a run folder; None where the run was ended before its first one.

    Raises:
        RunError: it is damaged, or of another format; names the file.
    """
    path = folder.path / CHECKPOINT
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise RunError(
                f"{path} has format {facts['format']} and this version reads {FORMAT}; resume with "
                "the version that wrote it."
            )
        return _saved(facts, load_file(folder.path / FOLDER / facts["tensors"]))
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read ({error}); start a new run.") from error


def _saved(facts: Mapping[str, Any], tensors: Arrays) -> Saved:
    saved_rounds = {int(client): int(number) for client, number in facts["saved_rounds"].items()}
    state = ServerState(
        section(tensors, SHARED),
        section(tensors, SERVER),
        facts["round"],
        facts["scored"],
        saved_rounds,
        set(facts["have_previous"]),
    )
    previous = section(tensors, PREVIOUS)
    return Saved(
        facts["run"], facts["stage"], facts["finished"], state, facts["callbacks"], previous
    )
