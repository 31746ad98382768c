"""Reading weights that no transformers class reads: one file of named tensors."""

from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from safetensors.torch import load_file
from torch import Tensor, nn

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.weights.sources import locate, require_whole, tensors_only

NAMES = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)


def find_state(source: str) -> Path:
    """The file of weights of a folder or hub id, or the file that is named itself.

    Raises:
        ModelError: there is none, or it cannot be fetched.
    """
    if (path := Path(source).expanduser()).is_file():
        return path
    where, _ = locate(source)
    if Path(where).is_dir():
        paths = [Path(where) / name for name in NAMES]
        state_file = next((path for path in paths if path.is_file()), None)
        reason = f"none of {', '.join(NAMES)} is there"
    else:
        state_file, reason = _from_hub(where)
    if state_file is None:
        raise ModelError(
            f"There are no weights in {source} ({reason}); give a folder that holds them, or a hub "
            "id that this machine can fetch."
        )
    return state_file


def _from_hub(repository: str) -> tuple[Path | None, str]:
    """The file in the hub's cache, or fetched; None and the reason."""
    reason = "it has no such file"
    try:
        for name in NAMES:
            if isinstance(path := try_to_load_from_cache(repository, name), str):
                return Path(path), ""
        for name in NAMES:
            try:
                return Path(hf_hub_download(repository, name)), ""
            except LocalEntryNotFoundError:
                raise  # there is no way to the hub, for the other names neither
            except EntryNotFoundError:
                continue
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
    return None, reason


def read_state(source: str) -> dict[str, Tensor]:
    """The named tensors of a folder, a hub id or a file, in the shapes and types of the file.

    Nothing but tensors is ever unpickled.

    Raises:
        ModelError: there is no file of weights, or it cannot be read.
    """
    path = find_state(source)
    with tensors_only(str(path)):
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ModelError(f"{path} does not hold named tensors only; save the state_dict alone.")
    return state


def fill(module: nn.Module, source: str) -> None:
    """Give a module (on the meta device as well) the weights of a source, in its own precision.

    Raises:
        ModelError: they cannot be read or do not fill the module exactly; names what is missing,
            unexpected or misshapen.
    """
    state = read_state(source)
    own = module.state_dict()
    both = own.keys() & state.keys()
    report = {
        "missing_keys": own.keys() - both,
        "unexpected_keys": state.keys() - both,
        "mismatched_keys": [key for key in both if state[key].shape != own[key].shape],
    }
    require_whole(source, report)
    exact = {key: value.to(own[key].dtype) for key, value in state.items()}
    module.load_state_dict(exact, assign=True)
