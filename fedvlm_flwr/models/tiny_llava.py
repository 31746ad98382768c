"""LLaVA's own classes with small sizes, initialised from a seed."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fedvlm_flwr.models.llava import Llava
from fedvlm_flwr.models.tokens import IMAGE, word_tokenizer


@dataclass(frozen=True)
class Sizes:
    """How large the network is; widths must be multiples of their numbers of heads."""

    image_size: int  # pixels a side
    patch_size: int  # pixels a side
    vision_width: int
    vision_layers: int  # the last one is not used: features come from the layer before it
    vision_heads: int
    llm_width: int
    llm_layers: int
    llm_heads: int
    llm_mlp_width: int


def build(sizes: Sizes, template: str, texts: Iterable[str], seed: int) -> Llava:
    """A randomly initialised model whose tokenizer knows the words of `texts` and `template`."""
    tokenizer = word_tokenizer([*texts, template.replace("{question}", "").replace(IMAGE, "")])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = LlavaForConditionalGeneration(configuration(sizes, tokenizer))
    place_patches(module.model.vision_tower.embeddings, sizes.image_size // sizes.patch_size)
    return Llava(module, tokenizer, picture_processor(sizes), template)


def configuration(sizes: Sizes, tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    """The sizes as transformers' configuration: layer -2 without the class token, 2-layer MLP."""
    vision = CLIPVisionConfig(
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        hidden_size=sizes.vision_width,
        intermediate_size=4 * sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.vision_heads,
    )
    llm = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.llm_width,
        intermediate_size=sizes.llm_mlp_width,
        num_hidden_layers=sizes.llm_layers,
        num_attention_heads=sizes.llm_heads,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=llm,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(sizes.image_size // sizes.patch_size) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


@torch.no_grad()
def place_patches(embeddings: nn.Module, grid: int) -> None:
    """Start the position embedding from sines and cosines of each patch's row and column.

    CLIP's own start is 25 times smaller than the patches' content, so that position is learnt very
    late; a short training then never gets to where a shape is.
    """
    table = embeddings.position_embedding.weight  # [1 + grid * grid, width], the class token first
    quarter = table.shape[1] // 4
    frequency = torch.pi / grid * torch.linspace(0.5, grid, quarter)
    angle = torch.arange(grid)[:, None] * frequency  # [grid, quarter]
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)  # [grid, width / 2]
    rows, columns = wave.repeat_interleave(grid, 0), wave.repeat(grid, 1)
    table[1:] = 0.5 * torch.cat([rows, columns], dim=1)


def picture_processor(sizes: Sizes) -> CLIPImageProcessorPil:
    """CLIP's own picture processing at this size."""
    side = sizes.image_size
    return CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
