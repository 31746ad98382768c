"""Vision-language models: chosen by kind, loaded behind one interface, tiny ones made here.

A kind is a folder with two modules: `params`, whose frozen dataclass `Params` (a `Loading`) has the
keys of its YAML, and `kind`, which keeps the contract `fedvlm_flwr.contracts.ModelKind`. A kind
that transformers alone can compute has a third, `plain`: `fedvlm_flwr.contracts.PlainForm`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fedvlm_flwr.contracts import ModelKind, PlainForm, Progress
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.plugins import available, load_as

if TYPE_CHECKING:  # torch comes in with a kind
    import torch

    from fedvlm_flwr.config import Choice
    from fedvlm_flwr.config.loading import Loading
    from fedvlm_flwr.models.vlm import VLM, Skeleton

P = TypeVar("P", bound="Loading")

# Where it is installed, peft imports bitsandbytes, which warns of an optional package each time.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def model_kind(kind: str) -> ModelKind[Any, VLM, Skeleton]:
    """The module of a kind.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(ModelKind, __name__, kind, "model kind", "kind")


def plain_form(kind: str) -> PlainForm[VLM] | None:
    """How a kind is written for transformers alone; None: transformers has no class for it."""
    if kind not in available(__name__, "plain"):
        return None
    return load_as(PlainForm, __name__, kind, "model kind", "plain")


def load_model(choice: Choice[P], device: torch.device) -> VLM:
    """The model, in evaluation mode on `device`, nothing of it trainable yet.

    Raises:
        ModelError: the model is not prepared (run `fedvlm prepare`), is corrupt or unreadable, or
            what its kind gives lacks something that a run needs, to save it in the end included.
    """
    model = model_kind(choice.kind).load(choice.name, choice.params, device)
    require_whole_model(model, choice.kind)
    return model


def require_whole_model(model: VLM, kind: str) -> None:
    """Refuse a model that does not hold what `VLM` says, before anything is trained.

    Raises:
        ModelError: names the kind and what is missing.
    """
    from fedvlm_flwr.models.vlm import VLM

    missing = [name for name in VLM.__annotations__ if not hasattr(model, name)]
    if missing:
        raise ModelError(
            f"The model kind '{kind}' gives a model without {', '.join(missing)}, which a run or "
            "the saving of its result needs; set it as VLM in fedvlm_flwr/models/vlm.py says."
        )
    modules = {name for name, _ in model.module.named_modules()}
    for what, path in (("root", model.root), *((f"part '{p}'", m) for p, m in model.parts.items())):
        if path not in modules:
            raise ModelError(
                f"The model kind '{kind}' names its {what} at '{path}', where its network has no "
                "module; give the path of one."
            )


def prepare_model(choice: Choice[P], progress: Progress | None = None) -> Path | None:
    """Make the model's files if it has to be made and is not there; None if there is nothing to do.

    Args:
        progress: called with the steps done, the steps in all and the last loss.
    """
    return model_kind(choice.kind).prepare(choice.name, choice.params, progress)


def prepared_model(choice: Choice[P]) -> Path | None:
    """The folder of a model that `prepare_model` has made; None where there is none.

    Raises:
        ModelError: its files are damaged.
    """
    return model_kind(choice.kind).folder(choice.name, choice.params)


def model_parts(choice: Choice[P]) -> Mapping[str, str]:
    """The module path of each part that the model has, told without loading it.

    Raises:
        ModelError: the model's configuration cannot be read.
    """
    return model_kind(choice.kind).parts(choice.params)


def model_pictures(choice: Choice[P]) -> range:
    """How many pictures an example may show to the model, told without loading it.

    Raises:
        ModelError: the files that tell it cannot be read.
    """
    return model_kind(choice.kind).pictures(choice.params)


def model_skeleton(choice: Choice[P]) -> Skeleton:
    """The model's network without weights, on torch's meta device: for counting.

    Raises:
        ModelError: neither the model's own configuration nor its sizes in the YAML are at hand.
    """
    return model_kind(choice.kind).skeleton(choice.params)
