"""When memory runs out: let go of all that can be, and say what to change.

A process serves others after the work that failed, so nothing of it may stay: neither in the
error's traceback, whose frames hold every activation, nor in torch's cache.
"""

import gc
import re
import traceback
from collections.abc import Callable
from typing import Literal, TypeVar

import torch

from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import OutOfMemory

Result = TypeVar("Result")
Doing = Literal["training", "answering"]

# What torch says where it has no type for it: the CPU's allocator, cuBLAS, a CUDA call.
ON_CPU = ("can't allocate memory",)
ON_GPU = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, of a GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in (*ON_CPU, *ON_GPU))


def explaining(doing: Doing, config: Callable[[], Config], work: Callable[[], Result]) -> Result:
    """Do work; where memory runs out, say in one sentence what to change.

    Args:
        config: the configuration that the advice is on; asked for when it is needed.

    Raises:
        OutOfMemory: memory ran out. Other errors go through.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        sentence = advice(config(), doing, error)
        _let_go(error)
    # Outside of the handler, or the new error would keep the old one and all that it holds.
    gc.collect()
    torch.cuda.empty_cache()
    raise OutOfMemory(sentence)


def _let_go(error: BaseException) -> None:
    """Empty the finished frames of an error and of those that led to it."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def advice(config: Config, doing: Doing, error: BaseException) -> str:
    """One sentence: what ran out, at what, and which settings make it fit."""
    request = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    demand = f" when {request[1]} more were wanted" if request else ""
    on_gpu = isinstance(error, torch.OutOfMemoryError) or any(w in str(error) for w in ON_GPU)
    engine = config.engine
    share = (
        f"engine.gpus_per_client (now {engine.gpus_per_client:g})"
        if on_gpu
        else f"engine.cpus_per_client (now {engine.cpus_per_client})"
    )
    remedies = [*_remedies(config, doing), f"raise {share} so that fewer clients share it"]
    return (
        f"The {'GPU' if on_gpu else 'machine'} ran out of memory in {doing}{demand}; "
        f"{' or '.join(remedies)} (`fedvlm plan` estimates what fits)."
    )


def _remedies(config: Config, doing: Doing) -> list[str]:
    train, answer, remedies = config.train, config.eval, []
    if doing == "answering" and answer.batch_size > 1:
        remedies.append(f"lower eval.batch_size (now {answer.batch_size})")
    if doing == "training" and train.batch_size > 1:
        remedies.append(f"lower train.batch_size (now {train.batch_size})")
    if doing == "training" and not train.gradient_checkpointing:
        remedies.append("set train.gradient_checkpointing=true")
    if not config.model.params.quantize and "full" not in config.tuning.modes.get("llm", ()):
        remedies.append("set model.quantize=4bit")
    return remedies
