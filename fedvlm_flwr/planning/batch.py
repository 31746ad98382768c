"""A batch at its largest, and what a transformers decoder is called with for it."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedvlm_flwr.planning.kernels import UNFUSED


@dataclass(frozen=True)
class Batch:
    """A batch at its largest.

    Attributes:
        rows: examples.
        length: places of each, the picture's included.
        labeled: places of each with a label, or tokens to be generated.
        masked: whether the attention is given a mask.
        quantize: how the network's linear layers are held; None: as they are.
        beside: states of each row's picture that layers attend to beside the sequence.
        packed: whether rows stand one behind the other in training, where they can.
    """

    rows: int
    length: int
    labeled: int
    masked: bool
    quantize: str | None = None
    beside: int = 0
    packed: bool = False


def arguments(llm: Any, batch: Batch, learns: bool = False) -> dict[str, Tensor | None]:
    """What a decoder is called with, all without numbers: of the embeddings' precision and device.

    Args:
        llm: without head.
        batch: its sizes.
        learns: whether a gradient is wanted of what a connector makes.
    """
    table: Tensor = llm.get_input_embeddings().weight
    rows, length, width = batch.rows, batch.length, table.shape[1]
    embeds = table.new_empty(rows, length, width)
    inputs: dict[str, Tensor | None] = {
        "inputs_embeds": embeds.requires_grad_(learns and not batch.beside),
        "attention_mask": _mask(llm, batch, table),
    }
    if size := getattr(llm.config, "hidden_size_per_layer_input", 0):  # Gemma 4's, by token ids
        layers = llm.config.num_hidden_layers
        inputs["per_layer_inputs"] = table.new_empty(rows, length, layers, size)
    if batch.beside:  # Llama 3.2 Vision's
        states = table.new_empty(rows, batch.beside, width)
        inputs["cross_attention_states"] = states.requires_grad_(learns)
        inputs["cross_attention_mask"] = table.new_empty(rows, 1, length, batch.beside)
        inputs["full_text_row_masked_out_mask"] = table.new_empty(rows, 1, length, 1)
    return inputs


def _mask(llm: Any, batch: Batch, table: Tensor) -> Tensor | None:
    """A mask in the form that the attention takes, [B, 1, T, T]."""
    added = llm.config._attn_implementation == UNFUSED
    if not (batch.masked or added):
        return None
    mask = table.new_empty(batch.rows, 1, batch.length, batch.length)
    return mask if added else mask.bool()
