"""A training step and an answer gone through without data or weights, to see what they hold.

The network's own forward and backward pass run on the meta device: shapes and precisions are real,
numbers are not. So nothing of a model's inside is guessed.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import DynamicCache

from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.last_layer import read_at
from fedvlm_flwr.models.packed_rows import Rows
from fedvlm_flwr.models.packing import can_be_packed, packed_states
from fedvlm_flwr.planning.batch import Batch, arguments
from fedvlm_flwr.planning.kernels import counted_kernels
from fedvlm_flwr.planning.live_bytes import LiveBytes, SavedTensors


@dataclass(frozen=True)
class TrainingBytes:
    """What a training step holds beside weights, gradients and the optimizer's state, in bytes.

    Attributes:
        activations: those of the language model that wait for the backward pass.
        logits: the same behind the language model: scores of the vocabulary at labeled places.
        working: what the fullest moment holds beyond the two.
    """

    activations: int
    logits: int
    working: int


@dataclass(frozen=True)
class AnsweringBytes:
    """What answering holds beside the weights, in bytes: the key/value cache, and the rest."""

    cache: int
    working: int


def dry_run_training(
    llm: Any, batch: Batch, inputs_learn: bool, autocast: bool, checkpointing: bool
) -> TrainingBytes:
    """Go through a forward and a backward pass.

    Args:
        llm: a transformers decoder without head, what is trained of it set to require gradients.
        inputs_learn: whether a gradient is wanted of the input embeddings (a connector is trained).
        autocast: under bfloat16 autocast.
        checkpointing: keep each layer's input only.
    """
    llm.train()
    try:
        # Random generators have no state where a CPU is only pretended.
        again = checkpointed(llm, checkpointing, keep_random_state=False)
        with again:
            packed = batch.packed and can_be_packed(llm, batch.length)
            with _stage(llm, batch.quantize, autocast):
                return _train(llm, batch, inputs_learn, autocast, packed)
    finally:
        llm.eval()


def _train(
    llm: Any, batch: Batch, inputs_learn: bool, autocast: bool, packed: bool
) -> TrainingBytes:
    table: Tensor = llm.get_input_embeddings().weight
    weights = [*llm.parameters(), *llm.buffers()]
    hooks = [
        weight.register_post_accumulate_grad_hook(_drop_gradient)
        for weight in llm.parameters()
        if weight.requires_grad
    ]
    tensors = SavedTensors(weights)
    context = torch.autocast(table.device.type, torch.bfloat16) if autocast else nullcontext()
    with LiveBytes(weights) as live:
        with saved_tensors_hooks(tensors.pack, lambda tensor: tensor), context:
            inputs = arguments(llm, batch, inputs_learn)
            states = _states(llm, batch, inputs, packed)
            inside = tensors.bytes
            loss = _loss(states, table)
            behind = tensors.bytes - inside
        tensors.forget()
        del states, inputs
        loss.backward()  # type: ignore[no-untyped-call]
    for hook in hooks:
        hook.remove()
    return TrainingBytes(inside, behind, max(0, live.peak - inside - behind))


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None  # gradients are counted with the weights


def _states(llm: Any, batch: Batch, inputs: dict[str, Any], packed: bool) -> Tensor:
    """What is read of a language model for a loss, [places with a label, width]."""
    device, labeled = inputs["inputs_embeds"].device, batch.rows * batch.labeled
    if packed:
        lengths, answers = [batch.length] * batch.rows, [batch.labeled] * batch.rows
        rows = Rows(lengths, answers, batch.length, device)
        return packed_states(llm, inputs["inputs_embeds"], rows, inputs["attention_mask"])
    places = torch.zeros(labeled, dtype=torch.long, device=device)
    with read_at(llm, places):
        hidden: Tensor = llm(**inputs, use_cache=False).last_hidden_state
    return hidden.flatten(0, 1).index_select(0, places)


def _loss(states: Tensor, table: Tensor) -> Tensor:
    """Cross-entropy at the places with a label; the head is as large as `table`."""
    logits = F.linear(states.to(table.dtype), table.detach()).float()
    return F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long))


@torch.no_grad()
def dry_run_answering(llm: Any, batch: Batch) -> AnsweringBytes:
    """Go through the prompt's pass, which is the fullest moment of greedy decoding."""
    table: Tensor = llm.get_input_embeddings().weight
    weights = [*llm.parameters(), *llm.buffers()]
    cache: Any = DynamicCache(config=llm.config)
    with _stage(llm, batch.quantize, autocast=False), LiveBytes(weights) as live:
        inputs = arguments(llm, batch)
        with read_at(llm, torch.zeros(batch.rows, dtype=torch.long, device=table.device)):
            hidden = llm(**inputs, past_key_values=cache, use_cache=True).last_hidden_state
        F.linear(hidden[:, -1].to(table.dtype), table).argmax(-1)
        entries = [tensor for layer in cache.layers for tensor in _entries(layer)]
        prompt = sum(tensor.untyped_storage().nbytes() for tensor in entries)
        # A window, a state and a picture's keys and values stay as they are.
        grows = [tensor for tensor in entries if tensor.shape[-2] == batch.length]
        more = sum(tensor.untyped_storage().nbytes() for tensor in grows) * batch.labeled
    return AnsweringBytes(prompt + more // batch.length, live.peak - prompt)


def _entries(layer: Any) -> list[Tensor]:
    """What a layer has in the cache: keys and values, or the states of a linear attention."""
    states = [getattr(layer, name, None) for name in ("keys", "values")]
    for name in ("conv_states", "recurrent_states"):
        states.extend(getattr(layer, name, {}).values())
    return [state for state in states if state is not None]


@contextmanager
def _stage(llm: nn.Module, quantize: str | None, autocast: bool) -> Iterator[None]:
    """The stand-ins for kernels, and for autocast, which knows no meta device, a pretended CPU."""
    device = next(llm.parameters()).device
    pretended: AbstractContextManager[object] = (
        _pretended(llm) if autocast and device.type == "meta" else nullcontext()
    )
    with counted_kernels(llm, quantize), pretended:
        yield


@contextmanager
def _pretended(llm: nn.Module) -> Iterator[None]:
    """Every weight on a CPU that holds no numbers either."""
    places: list[tuple[dict[str, Any], str, Tensor]] = [
        (registry, name, tensor)
        for module in llm.modules()
        for registry in (module._parameters, module._buffers)
        for name, tensor in registry.items()
        if tensor is not None
    ]
    with FakeTensorMode():
        twins: dict[int, Tensor] = {}
        for registry, name, tensor in places:
            if id(tensor) not in twins:
                twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                twins[id(tensor)] = (
                    nn.Parameter(twin, tensor.requires_grad)
                    if isinstance(tensor, nn.Parameter)
                    else twin
                )
            registry[name] = twins[id(tensor)]
        try:
            yield
        finally:
            for registry, name, tensor in places:
                registry[name] = tensor
