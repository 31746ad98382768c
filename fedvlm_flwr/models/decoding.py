"""Greedy decoding with a key/value cache over input embeddings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from fedvlm_flwr.models.last_layer import read_at
from fedvlm_flwr.models.transfer import to_device


@dataclass(frozen=True)
class Prompt:
    """What rows are to be gone on from.

    Attributes:
        embeds: embeddings [B, T, D], padded on the left.
        mask: of real tokens, [B, S + T].
        visibility: what the positions see of each other, [B, 1, T, T] in the form that the
            attention takes; None: what stands before them. New tokens see all real ones.
        cache: keys and values of S tokens before the embeddings, see `cached_start`; None: S = 0.
    """

    embeds: Tensor
    mask: Tensor
    visibility: Tensor | None = None
    cache: DynamicCache | None = None


@torch.no_grad()
def greedy(
    llm: Any,
    head: Callable[[Tensor], Tensor],
    prompt: Prompt,
    end_id: int,
    limit: int,
) -> list[list[int]]:
    """The most likely tokens after each prompt, without the end token.

    Args:
        llm: a transformers decoder without head; takes `inputs_embeds` and `past_key_values`.
        head: hidden states to logits.
        prompt: of B rows.
        end_id: the token after which a row is finished.
        limit: the most tokens that a row may get.
    """
    embeds, mask, visibility = prompt.embeds, prompt.mask, prompt.visibility
    answers: list[list[int]] = [[] for _ in range(len(embeds))]
    open_rows = list(range(len(embeds)))
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -embeds.shape[1] :]  # padding does not count
    padded = not bool(mask.all())
    cache = DynamicCache(config=llm.config) if prompt.cache is None else prompt.cache
    looks = mask.long() if visibility is None and padded else visibility
    for _ in range(limit):
        with _read_at_ends(llm, embeds):
            hidden = llm(
                inputs_embeds=embeds,
                attention_mask=looks,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state  # [open rows, T, D], T = 1 from the second token on
        tokens = head(hidden[:, -1]).argmax(-1)  # [open rows]
        likeliest = tokens.tolist()  # the only wait for the device that a token costs
        going = [i for i, token in enumerate(likeliest) if token != end_id]
        for i in going:
            answers[open_rows[i]].append(likeliest[i])
        if not going:
            break
        open_rows = [open_rows[i] for i in going]
        keep = to_device(torch.tensor(going), mask.device)
        if len(going) < len(tokens):  # finished rows cost nothing more
            cache.batch_select_indices(keep)
        embeds = llm.get_input_embeddings()(tokens[keep]).unsqueeze(1)  # [open rows, 1, D]
        mask = torch.cat([mask[keep], mask.new_ones(len(keep), 1)], dim=1)
        positions = positions[keep, -1:] + 1  # [open rows, 1]
        looks = mask.long() if padded else None
    return answers


def _read_at_ends(llm: Any, embeds: Tensor) -> AbstractContextManager[None]:
    rows, length, _ = embeds.shape
    if length == 1:
        return nullcontext()
    ends = torch.arange(length - 1, rows * length, length, device=embeds.device)
    return read_at(llm, ends)


def can_share_start(llm: Any) -> bool:
    """Whether keys and values of a prompt's beginning serve several rows: full attention only."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=llm.config).layers)


@torch.no_grad()
def cached_start(llm: Any, embeds: Tensor, owners: Tensor) -> DynamicCache:
    """Keys and values of the beginning that rows have in common with others, for `greedy`.

    Args:
        embeds: the distinct beginnings [N, S, D], all of one length.
        owners: the number of each row's beginning, [B].
    """
    cache = DynamicCache(config=llm.config)
    nowhere = torch.empty(0, dtype=torch.long, device=embeds.device)
    with read_at(llm, nowhere):
        llm(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
    cache.batch_select_indices(owners)
    return cache
