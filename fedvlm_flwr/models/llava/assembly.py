"""A LLaVA put together from a vision tower, a connector and a language model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionModel,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SiglipVisionModel,
)

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.llava.connectors import network_class
from fedvlm_flwr.models.llava.model import IMAGE
from fedvlm_flwr.models.llava.params import Assembly
from fedvlm_flwr.models.weights.sources import (
    architecture,
    locate,
    read_config,
    read_image_processor,
    read_weights,
    reading,
    require_whole,
    sizing,
)

VISION_HALF: dict[str, Any] = {
    "clip": CLIPVisionModel,
    "siglip": SiglipVisionModel,
}  # of two-tower checkpoints


def llava_config(
    recipe: Assembly, vision: PreTrainedConfig, text: PreTrainedConfig, image_id: int
) -> LlavaConfig:
    """The configuration of the whole."""
    vision = getattr(vision, "vision_config", vision)  # of a two-tower checkpoint
    strategy = recipe.vision_feature_select_strategy
    grid = (vision.image_size // vision.patch_size) ** 2
    config: LlavaConfig = LlavaConfig.from_dict(
        {
            "vision_config": vision.to_dict(),
            "text_config": text.to_dict(),
            "image_token_index": image_id,
            "image_seq_length": grid + (strategy == "full" and "clip" in vision.model_type),
            "vision_feature_layer": recipe.vision_feature_layer,
            "vision_feature_select_strategy": strategy,
            "connector": recipe.connector,
        }
    )
    return config


def skeleton_of(recipe: Assembly, architectures: Mapping[str, Mapping[str, Any]]) -> Any:
    """The network on the meta device."""
    vision, llm = (architecture(each, architectures) for each in (recipe.vision, recipe.llm))
    with sizing(), torch.device("meta"):
        config = llava_config(recipe, vision, llm, image_id=0)
        return network_class(config)(config)


def assemble(recipe: Assembly, dtype: torch.dtype, folder: Path) -> None:
    """Write network, tokenizer and picture processing as one checkpoint of the LLaVA form.

    Raises:
        ModelError: a source cannot be read, or does not fill its network.
        ConfigError: the image token is not in the tokenizer.
    """
    vision, llm = read_vision(recipe.vision, dtype), read_llm(recipe.llm, dtype)
    tokenizer = read_tokenizer(recipe)
    image_id = tokenizer.get_vocab()[recipe.image_token or IMAGE]
    config = llava_config(recipe, vision.config, llm.config, image_id)
    with torch.device("meta"):
        module = network_class(config)(config)
    module.model.vision_tower = vision
    module.model.language_model = llm.get_decoder()
    module.lm_head = llm.get_output_embeddings()
    connector = start_connector(recipe, module.model.multi_modal_projector)
    module.model.multi_modal_projector = connector.to(dtype)
    module.generation_config.eos_token_id = tokenizer.eos_token_id
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    read_image_processor(recipe.vision).save_pretrained(folder)


def start_connector(recipe: Assembly, connector: nn.Module) -> nn.Module:
    """The connector with its first weights: those of a file, or random from the seed."""
    connector.to_empty(device="cpu")
    if recipe.connector_weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.connector_seed)
            for layer in connector.modules():
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
        return connector
    try:
        report = connector.load_state_dict(load_file(recipe.connector_weights), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"model.connector_weights={recipe.connector_weights} cannot be read as a connector "
            f"'{recipe.connector}' ({' '.join(str(error).split())})."
        ) from error
    keys = {"missing_keys": report.missing_keys, "unexpected_keys": report.unexpected_keys}
    require_whole(recipe.connector_weights, keys)
    return connector


def read_vision(source: str, dtype: torch.dtype) -> Any:
    """The vision tower of a vision or two-tower checkpoint."""
    kind = read_config(source).model_type
    reader = VISION_HALF.get(kind, AutoModel)
    tower, report = read_weights(reader, source, "a vision tower", dtype=dtype)
    if kind in VISION_HALF:  # the text tower is left behind
        report = {**report, "unexpected_keys": []}
    require_whole(source, report)
    return tower


def read_llm(source: str, dtype: torch.dtype) -> Any:
    """The language model with its head."""
    llm, report = read_weights(AutoModelForCausalLM, source, "a language model", dtype=dtype)
    require_whole(source, report)
    return llm


def read_tokenizer(recipe: Assembly) -> PreTrainedTokenizerBase:
    """The LLM's tokenizer, which knows the image token.

    Raises:
        ConfigError: `image_token` is none of its tokens.
    """
    where, more = locate(recipe.llm)
    with reading(recipe.llm, "a tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(where, **more)
    if recipe.image_token is None:
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    elif recipe.image_token not in tokenizer.get_vocab():
        raise ConfigError(
            f"model.image_token='{recipe.image_token}' is no token of {recipe.llm}; name an unused "
            "one of its special tokens, or set it to null to have <image> added to the tokenizer."
        )
    return tokenizer
