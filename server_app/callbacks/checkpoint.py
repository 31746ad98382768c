"""What an exact continuation needs, on disk after each round."""

import json
from collections.abc import Mapping
from typing import Any

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.run_folder import CHECKPOINT, RunFolder
from fedvlm_flwr.sealed import sealed
from fedvlm_flwr.tensor_files import save_tensors
from server_app.saved import (
    EARLIER,
    FOLDER,
    FORMAT,
    PREVIOUS,
    SERVER,
    SHARED,
    tensor_facts,
    tensor_file,
)
from strategies.core.events import Callback, Round
from strategies.core.state import ServerState


class Checkpoint(Callback):
    """Keeps `checkpoint.json` and the newest rounds' tensors, `checkpoints/*.safetensors`.

    The JSON names the tensor file and is replaced in one step after that file is complete, so that
    a kill at any moment leaves a whole checkpoint: the new one, or the one before. Each file has a
    checksum, and the checkpoint of the round before stays beside (`checkpoint.earlier.json`) for
    the case that the newest is damaged later.
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
        run, stage = self._facts["run"], self._facts["stage"]
        name = tensor_file(stage, state.number)
        path = self._folder.path / FOLDER / name
        if not path.exists() or not state.scored:  # the scores change no tensor
            tensors = {SHARED + key: values for key, values in state.arrays.items()}
            tensors |= {SERVER + key: values for key, values in state.server.items()}
            tensors |= {PREVIOUS + key: values for key, values in self._previous.items()}
            save_tensors(path, tensors, tensor_facts(run, stage, state.number))
        saved = {str(client): number for client, number in sorted(state.saved_rounds.items())}
        holds = {str(client): numbers for client, numbers in sorted(state.holds.items())}
        clients = {"saved_rounds": saved, "holds": holds}
        place = {"round": state.number, "scored": state.scored, **clients, "finished": False}
        facts = {**self._facts, **place, "tensors": name, "callbacks": self._others.memory()}
        last = self._read(CHECKPOINT)
        self._save(CHECKPOINT, facts)
        earlier = self._keep_earlier(last, name)
        for old in path.parent.glob("stage_*.safetensors"):
            if old.name not in (name, earlier):
                old.unlink()

    def _keep_earlier(self, last: Mapping[str, Any], tensors: str) -> str:
        """Put the last round's checkpoint beside; the name of its tensors, empty without one.

        After the new one is written: at any moment the two are of different rounds.
        """
        if last and last["tensors"] != tensors:
            self._folder.write(EARLIER, json.dumps(last, indent=2) + "\n")
            return str(last["tensors"])
        return str(self._read(EARLIER).get("tensors", ""))

    def _read(self, name: str) -> dict[str, Any]:
        """A file of facts that this run, or the one that it goes on from, has written."""
        path = self._folder.path / name
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return facts if "tensors" in facts else {}
        except (OSError, ValueError, TypeError):  # damaged: what was gone on from is the other one
            return {}

    def finish(self) -> None:
        """Note that nothing is left to do; the last checkpoint may be an earlier process's.

        The controls' scores, which come last, are in the checksum of the metrics then.
        """
        facts = self._read(CHECKPOINT)
        done = {"callbacks": self._others.memory(), "finished": True}
        self._save(CHECKPOINT, {**facts, **done})

    def _save(self, name: str, facts: Mapping[str, Any]) -> None:
        self._folder.write(name, json.dumps(sealed(facts), indent=2) + "\n")
