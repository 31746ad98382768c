"""The shared arrays after each finished round."""

from safetensors.numpy import save_file

from fedvlm_flwr.paths import atomic_path
from fedvlm_flwr.run_folder import RunFolder
from fedvlm_flwr.wire import Arrays
from strategies.core.events import Callback, Round


class Checkpoint(Callback):
    """Keeps `checkpoints/stage_S_round_NNNN.safetensors` of the newest round."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.path / "checkpoints"

    def on_round_end(self, account: Round, arrays: Arrays) -> None:
        """Write the new file, then remove the older ones."""
        name = f"stage_{account.stage}_round_{account.number:04d}.safetensors"
        with atomic_path(self._folder / name) as temporary:
            save_file(arrays, str(temporary))
        for old in self._folder.glob("stage_*.safetensors"):
            if old.name != name:
                old.unlink()
