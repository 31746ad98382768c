"""What stays with a client between rounds, on its own disk."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.paths import atomic_path
from fedvlm_flwr.wire import Arrays, section

TENSORS, HOOK = "tensors/", "hook/"


class PrivateState:
    """One client's files of one run: a safetensors file for each round it took part in.

    A round reads the file of the round that the server names, which is the newest one whose reply
    it took in. So a reply that was lost or left out, a round that is repeated and a resumed run all
    go on from what the server knows of. Older files are removed once a newer one is in use.
    """

    def __init__(self, folder: Path, client: int, stage: int) -> None:
        self._run = folder
        self._folder = folder / f"client_{client}"
        self._stage = stage

    def path(self, number: int) -> Path:
        """The file of a round."""
        return self._folder / f"stage_{self._stage}_round_{number:04d}.safetensors"

    def load(self, number: int) -> tuple[Arrays, Arrays]:
        """The private tensors and the hook's arrays after a round; none after round 0.

        Raises:
            RunError: the file is missing or damaged.
        """
        if number == 0:
            return {}, {}
        held = _load(self.path(number), f"after round {number}")
        return section(held, TENSORS), section(held, HOOK)

    def settled(self, told: Arrays | None) -> Arrays:
        """What earlier stages have come to: as told with this message, or kept from an earlier one.

        It is the same for all clients of a run, and so are the files of those on one machine.

        Raises:
            RunError: there were earlier stages, and this client was never told or lost the file.
        """
        if self._stage == 0:
            return {}
        path = self._run / f"settled_before_stage_{self._stage}.safetensors"
        if told is None:
            return _load(path, f"before stage {self._stage + 1}")
        with atomic_path(path) as temporary:
            save_file(told, temporary)
        return told

    def save(self, number: int, tensors: Arrays, hook: Arrays) -> bool:
        """Keep both after a round; false, and no file, when there is nothing to keep."""
        named = {TENSORS + name: values for name, values in tensors.items()}
        named |= {HOOK + name: values for name, values in hook.items()}
        if named:
            with atomic_path(self.path(number)) as temporary:
                save_file(named, temporary)
        return bool(named)

    def forget_before(self, number: int) -> None:
        """Remove the files of rounds before `number`."""
        keep = self.path(number).name
        for path in self._folder.glob(f"stage_{self._stage}_round_*.safetensors"):
            if path.name < keep:
                path.unlink(missing_ok=True)


def _load(path: Path, when: str) -> Arrays:
    try:
        held: Arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"What this client kept {when} cannot be read ({path}: {error}); restore the file or "
            "start a new run."
        ) from error
    return held
