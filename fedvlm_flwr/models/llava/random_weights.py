"""A LLaVA of full size that nobody has trained: for measuring where no weights are at hand."""

from typing import Any

import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.llava.connectors import network_class
from fedvlm_flwr.models.llava.description import describe
from fedvlm_flwr.models.llava.examination import attention_for, meta_network
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.llava.params import Params
from fedvlm_flwr.models.pretraining.tiny_llava import tokenizer_for
from fedvlm_flwr.models.weights.in_place import quantize_in_place, seeded
from fedvlm_flwr.models.weights.loading import torch_dtype
from fedvlm_flwr.models.weights.sources import sizing

UNQUANTIZED = ("vision_tower", "multi_modal_projector", "lm_head")


def random_llava(params: Params, device: torch.device, seed: int, words: list[str]) -> Llava:
    """The network that `assemble` would write, made on the device; no file is read or written.

    Its sizes are those of `model.architectures`, its prompt is `model.plain_template`, and its
    tokenizer knows the words of that and a few others. A run never gets such a model.

    Args:
        words: what the tokenizer knows beside the prompt's.

    Raises:
        ConfigError: there is no `plain_template`, or quantization is asked for and cannot be had.
        ModelError: the sizes cannot be.
    """
    if params.plain_template is None:
        raise ConfigError("A LLaVA with random weights needs model.plain_template for its prompt.")
    with sizing():
        config: Any = describe(params.assembly, params.architectures, local_files_only=True)
    attention = attention_for(meta_network(config), params, device)
    with seeded(seed, device):
        module = network_class(config)._from_config(config, dtype=torch_dtype(params), **attention)
    module.requires_grad_(False)
    module.eval()
    quantize_in_place(module, params, UNQUANTIZED)
    side = config.vision_config.image_size
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    tokenizer = tokenizer_for(words, params.plain_template)
    return Llava(module, tokenizer, processor, params.plain_template, params.max_text_tokens)
