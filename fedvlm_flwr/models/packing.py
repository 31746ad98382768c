"""The rows of a batch one behind the other in a language model, so that padding costs no work.

All but attention treats each place by itself. Attention is transformers' own, on rows that are
filled up for it alone; in the last layer only the places that are read look at the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.last_layer import is_computed_again, is_usual, read_at
from fedvlm_flwr.models.packed_rows import Rows

PACKED = "packed"  # our name among transformers' attentions
SDPA = "sdpa"
KINDS = {"full_attention", "sliding_attention"}  # of layers that can be packed


def answer_states(
    llm: Any,
    embeds: Tensor,
    lengths: Sequence[int],
    answers: Sequence[int],
    mask: Tensor | None = None,
) -> Tensor:
    """The states that answers are predicted from, [answer tokens, width], row after row.

    Args:
        llm: a transformers decoder without head.
        embeds: input embeddings of rows padded on the right, [B, T, width].
        lengths: of each row without padding.
        answers: how many tokens at each row's end are its answer; each is predicted by the place
            before it.
        mask: what each place sees, [B or 1, 1, T, T], as the model's attention takes it; None: what
            stands before it.

    Raises:
        ModelError: some of the model's attention is not done by transformers' interface.
    """
    # index_select here and below, since the gradient of plain indexing adds up in no fixed order.
    rows = Rows(lengths, answers, embeds.shape[1], embeds.device)
    if not can_be_packed(llm, embeds.shape[1]):
        with read_at(llm, rows.read_in_rows):
            output = llm(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
        states: Tensor = output.last_hidden_state.flatten(0, 1)
        return states.index_select(0, rows.read_in_rows)
    return packed_states(llm, embeds, rows, mask)


def packed_states(llm: Any, embeds: Tensor, rows: Rows, mask: Tensor | None) -> Tensor:
    """The same of a decoder that can be packed, by whichever attention it has.

    Raises:
        ModelError: see `answer_states`.
    """
    one_row = embeds.flatten(0, 1).index_select(0, rows.real)[None]
    with _packed_attention(llm, rows, mask), read_at(llm, rows.read):
        output = llm(inputs_embeds=one_row, position_ids=rows.positions[None], use_cache=False)
    states: Tensor = output.last_hidden_state[0]
    return states.index_select(0, rows.read)


def can_be_packed(llm: Any, longest: int) -> bool:
    """Whether a decoder knows of places what it is told, and mixes them by SDPA alone.

    Args:
        longest: of a batch's rows.
    """
    config, layers = llm.config, getattr(llm, "layers", None)
    if config._attn_implementation != SDPA or not llm._supports_attention_backend:
        return False
    if not isinstance(layers, nn.ModuleList) or not hasattr(llm, "rotary_emb"):
        return False
    window = getattr(config, "sliding_window", None)
    if window is not None and window < longest:
        return False
    if not KINDS.issuperset(getattr(config, "layer_types", None) or ()):
        return False
    return all(_is_causal(layer) and not is_computed_again(layer) for layer in layers)


def _is_causal(layer: nn.Module) -> bool:
    return is_usual(layer) and getattr(getattr(layer, "self_attn", None), "is_causal", False)


class _Attention:
    """The attention of one forward pass.

    Args:
        padded: transformers' attention of padded rows.
        rows, mask: see `answer_states`.
        last: the last layer's attention.
    """

    def __init__(
        self, padded: Callable[..., Any], rows: Rows, mask: Tensor | None, last: nn.Module
    ) -> None:
        self._padded, self._rows, self._mask, self._last = padded, rows, mask, last
        self._sight = rows.sight(mask)
        self.askers: set[nn.Module] = set()

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **more: Any
    ) -> tuple[Tensor, None]:
        self.askers.add(module)
        rows = self._rows
        others = rows.pad(key), rows.pad(value)
        if module is self._last:
            out, _ = self._padded(module, rows.pad_read(query), *others, self._sight, **more)
            return rows.pack_read(out), None
        out, _ = self._padded(module, rows.pad(query), *others, self._mask, **more)
        return rows.pack(out), None


_attention: ContextVar[_Attention] = ContextVar("attention")


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: object = None,  # of the padded rows it is at hand
    **more: Any,
) -> tuple[Tensor, None]:
    return _attention.get()(module, query, key, value, **more)


AttentionInterface.register(PACKED, _attend)


@contextmanager
def _packed_attention(llm: Any, rows: Rows, mask: Tensor | None) -> Iterator[None]:
    modules = [layer.self_attn for layer in llm.layers]
    before = llm.config._attn_implementation
    attention = _Attention(ALL_ATTENTION_FUNCTIONS[before], rows, mask, modules[-1])
    token = _attention.set(attention)
    llm.config._attn_implementation = PACKED
    try:
        yield
    finally:
        llm.config._attn_implementation = before
        _attention.reset(token)
    if not attention.askers.issuperset(modules):
        raise ModelError(
            f"{type(llm).__name__} does the attention of some layer by itself, where the rows of a "
            "batch would see each other; set model.attention=eager, which keeps them apart."
        )
