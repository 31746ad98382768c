"""LLaVA's own classes with small sizes, initialized from a seed."""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.llava.params import Sizes
from fedvlm_flwr.models.pretraining.tokenizer import IMAGE, word_tokenizer


def build(
    sizes: Sizes, template: str, texts: Iterable[str], seed: int, max_text_tokens: int
) -> Llava:
    """A randomly initialized model whose tokenizer knows the words of `texts` and `template`."""
    tokenizer = tokenizer_for(texts, template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = LlavaForConditionalGeneration(configuration(sizes, tokenizer))
    return Llava(module, tokenizer, image_processor(sizes), template, max_text_tokens)


def tokenizer_for(texts: Iterable[str], template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of `texts` and `template`."""
    return word_tokenizer([*texts, template.replace("{question}", "").replace(IMAGE, "")])


def configuration(
    sizes: Sizes, tokenizer: PreTrainedTokenizerFast, connector: str | None = None
) -> LlavaConfig:
    """The sizes as transformers' configuration: layer -2 without the class token.

    Args:
        connector: None: the one of two layers that transformers' own LLaVA has.
    """
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
        # The usual 0.02 suits widths of thousands; here attention would start uniform and stay so.
        initializer_range=sizes.llm_width**-0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    more: dict[str, Any] = {} if connector is None else {"connector": connector}
    return LlavaConfig(
        vision_config=vision,
        text_config=llm,
        image_token_index=tokenizer.get_vocab()[IMAGE],
        image_seq_length=(sizes.image_size // sizes.patch_size) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        **more,
    )


def image_processor(sizes: Sizes) -> CLIPImageProcessorPil:
    """CLIP's own picture processing with this size, mean and deviation."""
    side = sizes.image_size
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[sizes.image_mean] * 3,
        image_std=[sizes.image_std] * 3,
    )
