"""What `save_adapter` has written, read back by stable names."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedvlm_flwr.adapters import LORA_A, is_factor, negative, stacked
from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.config import Tuning
from fedvlm_flwr.config.tuning import FROM_THE_BASE
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.models.adapter import SHARED, TENSORS, peft_name
from fedvlm_flwr.models.vlm import VLM


def read_adapter(vlm: VLM, first: Arrays, folder: Path) -> Arrays:
    """The tensors of a saved adapter, those of adapters stacked with what goes beside them.

    Args:
        first: the trained tensors as they were before the run, which say their names.
        folder: as `save_adapter` has filled it; where it is not there, nothing was shared.

    Raises:
        RunError: a file cannot be read, or holds a tensor that the model has no place for.
    """
    result: Arrays = {}
    names = {peft_name(vlm, name): name for name in first}
    parts = {name.partition(".")[0] for name in first}
    names_in = {TENSORS: names, SHARED: {name: name for name in first}}
    names_in |= {
        f"{part}.safetensors": {
            name.removeprefix(f"{part}."): name for name in first if name.startswith(f"{part}.")
        }
        for part in parts
    }
    for path in sorted(folder.glob("*.safetensors")):
        for name, values in _read(path).items():
            stable = names_in.get(path.name, {}).get(name)
            if stable is None:
                raise RunError(
                    f"{path} holds '{name}', for which the run's model has no place; restore the "
                    "run's adapter folder."
                )
            result[stable] = float32(values)
    return result


def split(whole: Arrays, first: Arrays, tuning: Tuning) -> tuple[Arrays, Arrays]:
    """Trained tensors at the model's own ranks, and the factors of the term beside them.

    An adapter is stacked of the trained pair, the term that an aggregation has left beside it, and
    the start that an init has taken out of the base. Where this process's start is another one
    (another machine's linear algebra), the difference becomes a part of the term.

    Args:
        whole: as `read_adapter` gives it.
        first: the trained tensors as they were before the run, on the base as it is here.
    """
    arrays, rest = {}, {}
    for name, values in whole.items():
        axis = 0 if name.endswith(LORA_A) else 1
        rank = first[name].shape[axis] if is_factor(name) else 0
        if not is_factor(name) or values.shape[axis] == rank:
            arrays[name] = values
        else:
            arrays[name], rest[name] = (
                np.ascontiguousarray(piece) for piece in np.split(values, [rank], axis=axis)
            )
    if tuning.lora.init not in FROM_THE_BASE or not rest:
        return arrays, rest
    between: Arrays = {}
    start = negative({name: first[name] for name in rest})
    same = True
    for name, values in rest.items():
        axis = 0 if name.endswith(LORA_A) else 1
        at = values.shape[axis] - first[name].shape[axis]
        between[name], taken_out = np.split(values, [at], axis=axis)
        same &= bool(np.array_equal(taken_out, start[name]))
    if same:
        return arrays, {name: v for name, v in between.items() if v.size}
    return arrays, stacked([rest, negative(start)])


def _read(path: Path) -> Arrays:
    try:
        tensors: Arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore the file.") from error
    return tensors
