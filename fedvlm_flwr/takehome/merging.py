"""A run's adapters written into the weights of its base."""

from pathlib import Path

import torch
from torch import nn

from fedvlm_flwr.adapters import pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Choice
from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.models import plain_form
from fedvlm_flwr.models.parts import adapted_layers, part_module
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.weights.loading import torch_dtype
from fedvlm_flwr.takehome.loading import RunModel

INSTEAD = "export it without --merge, as an adapter for its base"


def require_mergeable(choice: Choice[Loading]) -> None:
    """Refuse a model that cannot be merged, as far as its choice tells, before it is loaded.

    Raises:
        RunError: the base is quantized, or transformers has no class for the kind.
    """
    if choice.params.quantize:
        raise RunError(
            f"model.quantize={choice.params.quantize}: the adapters were trained beside a rounded "
            f"base, and written into its few bits they would be rounded away; {INSTEAD}."
        )
    if plain_form(choice.kind) is None:
        raise _refusal(choice, "transformers has no class for this kind of network")


def _refusal(choice: Choice[Loading], reason: str) -> RunError:
    return RunError(f"model={choice.name} cannot be merged: {reason}; {INSTEAD}.")


def merge(vlm: VLM, residual: Arrays, dtype: torch.dtype) -> None:
    """Write adapters, and the term beside the base, into the base's weights.

    Where the base is held in fewer bits than float32, the sums are rounded to them, and so are the
    parts that were trained in full. The model takes no other result afterwards.

    Args:
        residual: factors of the term by layer; empty: there is none.
        dtype: in which the whole model is then.
    """
    terms = pairs_in(residual)
    for name, layer in adapted_layers(vlm).items():
        layer.merge(safe_merge=True)
        plain: nn.Linear = layer.get_base_layer()
        if name in terms:
            a, b = torch.from_numpy(terms[name].a), torch.from_numpy(terms[name].b)
            term = float(layer.scaling["default"]) * (b @ a)
            with torch.no_grad():
                plain.weight.copy_(plain.weight.float() + term.to(plain.weight.device))
        part_module(vlm, "llm").set_submodule(name.partition(".")[2], plain)
    vlm.module.to(dtype)


def save_merged(run_model: RunModel, folder: Path) -> None:
    """Merge, and write what transformers reads into an empty folder.

    Raises:
        RunError: it cannot be merged; says why and what can be exported instead.
        ModelError: what transformers reads back asks or sees otherwise.
    """
    choice, vlm = run_model.run.config.model, run_model.model.vlm
    require_mergeable(choice)
    form = plain_form(choice.kind)
    assert form is not None, "refused before"
    if reason := form.reason_against(vlm):
        raise _refusal(choice, reason)
    merge(vlm, run_model.residual, torch_dtype(choice.params))
    form.save(vlm, folder)
