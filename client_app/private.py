"""What stays with a client between rounds, on its own disk."""

from pathlib import Path

from safetensors import SafetensorError

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.errors import StateError
from fedvlm_flwr.tensor_files import DamagedFile, load_tensors, save_tensors

TENSORS, HOOK = "tensors/", "hook/"

Facts = dict[str, str | int]


class PrivateState:
    """One client's files of one run: a safetensors file for each round it took part in.

    A round reads the file of the round that the server names, which is the newest one whose reply
    it took in. So a reply that was lost or left out, a round that is repeated and a resumed run all
    go on from what the server knows of. Older files are removed once a newer one is in use. A file
    says whose and of which round it is, and has a checksum.

    Args:
        folder: of the run, for all clients.
        run: the run's id.
    """

    def __init__(self, folder: Path, run: str, client: int, stage: int) -> None:
        self._run = folder
        self._folder = folder / f"client_{client}"
        self._stage = stage
        self._of_run: Facts = {"run": run, "stage": stage}
        self._own: Facts = {**self._of_run, "client": client}

    def path(self, number: int) -> Path:
        """The file of a round."""
        return self._folder / f"stage_{self._stage}_round_{number:04d}.safetensors"

    def load(self, number: int) -> tuple[Arrays, Arrays]:
        """The private tensors and the hook's arrays after a round; none after round 0.

        Raises:
            StateError: the file is missing or damaged.
        """
        if number == 0:
            return {}, {}
        facts = {**self._own, "round": number}
        arrays = _load(self.path(number), facts, f"after round {number}")
        return section(arrays, TENSORS), section(arrays, HOOK)

    def previous(self, sent: Arrays | None) -> Arrays:
        """The previous stages' result: as sent with this message, or saved from an earlier one.

        It is the same for all clients of a run, and so are the files of those on one machine.

        Raises:
            StateError: there were earlier stages, and this client was never sent it, or lost it.
        """
        if self._stage == 0:
            return {}
        path = self._run / f"before_stage_{self._stage}.safetensors"
        if sent is None:
            return _load(path, self._of_run, f"before stage {self._stage + 1}")
        _save(path, sent, self._of_run)
        return sent

    def save(self, number: int, tensors: Arrays, hook: Arrays) -> bool:
        """Keep both after a round; false, and no file, when there is nothing to keep.

        Raises:
            StateError: the file cannot be written.
        """
        named = {TENSORS + name: values for name, values in tensors.items()}
        named |= {HOOK + name: values for name, values in hook.items()}
        if named:
            _save(self.path(number), named, {**self._own, "round": number})
        return bool(named)

    def forget_before(self, number: int) -> None:
        """Remove the files of rounds before `number`."""
        keep = self.path(number).name
        for path in self._folder.glob(f"stage_{self._stage}_round_*.safetensors"):
            if path.name < keep:
                path.unlink(missing_ok=True)


def _load(path: Path, facts: Facts, when: str) -> Arrays:
    try:
        return load_tensors(path, facts)
    except DamagedFile as damage:
        raise StateError(
            f"What this client saved {when} cannot be used: {damage}; restore the file or start a "
            "new run."
        ) from damage


def _save(path: Path, arrays: Arrays, facts: Facts) -> None:
    try:
        save_tensors(path, arrays, facts)
    except (SafetensorError, OSError) as error:
        raise StateError(
            f"What this client saves between rounds cannot be written ({path}: {error}); make room "
            "there, or set state-dir in the node-config to another folder."
        ) from error
