"""A LLaVA put together from a vision tower, a connector and a language model."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from fedvlm_flwr.models.llava.language_model import require_language_model
from fedvlm_flwr.models.llava.model import IMAGE, added_tokens
from fedvlm_flwr.models.llava.params import Assembly
from fedvlm_flwr.models.patches import TowerTokens, picture_size, tower_tokens
from fedvlm_flwr.models.weights.sources import (
    architecture,
    is_described,
    locate,
    read_config,
    read_image_processor,
    read_weights,
    reading,
    require_whole,
)

VISION_HALF: dict[str, Any] = {
    "clip": CLIPVisionModel,
    "siglip": SiglipVisionModel,
}  # of two-tower checkpoints


@dataclass(frozen=True)
class Picture:
    """How a picture lies in the sequence.

    Attributes:
        token_id: what stands for it in a prompt.
        tokens: what the vision tower makes of it.
    """

    token_id: int
    tokens: TowerTokens


def llava_config(
    recipe: Assembly, vision: PreTrainedConfig, text: PreTrainedConfig, picture: Picture
) -> LlavaConfig:
    """The configuration of the whole.

    Beside transformers' own keys: `connector`, its name; `register_tokens`, how many more tokens
    than the first are dropped before the patches; `added_rows`, how many rows the embedding table
    has for tokens that the language model did not know.
    """
    tokens = picture.tokens
    # transformers drops the first token, which is a patch where a tower has no other.
    strategy = recipe.vision_feature_select_strategy if tokens.before else "full"
    added = max(0, picture.token_id + 1 - text.vocab_size)
    plain = {key: value for key, value in text.to_dict().items() if key != "quantization_config"}
    config: LlavaConfig = LlavaConfig.from_dict(
        {
            "vision_config": vision.to_dict(),
            "text_config": {**plain, "vocab_size": text.vocab_size + added},
            "image_token_index": picture.token_id,
            "image_seq_length": tokens.patches + (strategy == "full") * tokens.before,
            "vision_feature_layer": recipe.vision_feature_layer,
            "vision_feature_select_strategy": strategy,
            "register_tokens": (strategy == "default") * (tokens.before - 1),
            "connector": recipe.connector,
            "added_rows": added,
        }
    )
    return config


def describe(
    recipe: Assembly, architectures: Mapping[str, Mapping[str, Any]], local_files_only: bool
) -> LlavaConfig:
    """The configuration of the whole, before any weight is read.

    Args:
        architectures: sizes of sources that need not be at hand; their tokenizer and picture
            processing are taken to fit.
        local_files_only: fetch nothing.

    Raises:
        ModelError: a source cannot be read, or cannot be a part of a LLaVA.
        ConfigError: the image token is none of the tokenizer's.
    """
    vision, text = (
        architecture(source, architectures, local_files_only=local_files_only)
        for source in (recipe.vision, recipe.llm)
    )
    vision = vision_half(recipe.vision, vision)
    require_language_model(recipe.llm, text)
    token_id, size = 0, (getattr(vision, "image_size", 0),) * 2
    if not is_described(recipe.llm, architectures):
        tokenizer = read_tokenizer(recipe, local_files_only)
        token_id = tokenizer.get_vocab()[recipe.image_token or IMAGE]
    if not is_described(recipe.vision, architectures):
        processing = read_image_processor(recipe.vision, local_files_only=local_files_only)
        size = picture_size(recipe.vision, processing)
    tokens = tower_tokens(recipe.vision, vision, size, recipe.vision_feature_layer)
    return llava_config(recipe, vision, text, Picture(token_id, tokens))


def vision_half(source: str, config: PreTrainedConfig) -> PreTrainedConfig:
    """The vision tower's configuration, of itself or of a two-tower checkpoint.

    Raises:
        ModelError: of another two-tower checkpoint.
    """
    half: PreTrainedConfig | None = getattr(config, "vision_config", None)
    if half is None:
        return config
    if config.model_type not in VISION_HALF:
        raise ModelError(
            f"{source} is of the family '{config.model_type}', of which the vision tower cannot be "
            f"taken out; give a vision tower by itself, or one of: {', '.join(VISION_HALF)}."
        )
    return half


def skeleton_of(recipe: Assembly, architectures: Mapping[str, Mapping[str, Any]]) -> Any:
    """The network on the meta device."""
    config = describe(recipe, architectures, local_files_only=True)
    with torch.device("meta"):
        return network_class(config)(config)


def assemble(recipe: Assembly, dtype: torch.dtype, folder: Path) -> None:
    """Write network, tokenizer and picture processing as one checkpoint of the LLaVA form.

    Raises:
        ModelError: a source cannot be read, does not fill its network, or cannot be a part.
        ConfigError: the image token is not in the tokenizer.
    """
    config: Any = describe(recipe, {}, local_files_only=False)
    config.vision_config.dtype = config.text_config.dtype = dtype
    vision, llm = read_vision(recipe.vision, dtype), read_llm(recipe.llm, dtype)
    add_rows(llm, config.added_rows)
    with torch.device("meta"):
        module = network_class(config)(config)
    module.model.vision_tower = vision
    module.model.language_model = llm.get_decoder()
    module.lm_head = llm.get_output_embeddings()
    connector = start_connector(recipe, module.model.multi_modal_projector)
    module.model.multi_modal_projector = connector.to(dtype)
    tokenizer = read_tokenizer(recipe)
    module.generation_config.eos_token_id = tokenizer.eos_token_id
    # The language model never says what it has no word for.
    module.generation_config.suppress_tokens = list(added_tokens(config)) or None
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    read_image_processor(recipe.vision).save_pretrained(folder)


def add_rows(llm: Any, count: int) -> None:
    """Rows of zeros at the end of the embedding table and the head, so that every token has one.

    Nobody learns them and no prompt looks them up: a picture's tokens take their place.
    """
    if not count:
        return
    rows = llm.config.vocab_size
    llm.resize_token_embeddings(rows + count, mean_resizing=False)
    for layer in (llm.get_input_embeddings(), llm.get_output_embeddings()):
        layer.weight.data[rows:] = 0


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


def read_tokenizer(recipe: Assembly, local_files_only: bool = False) -> PreTrainedTokenizerBase:
    """The LLM's tokenizer, which knows the image token.

    Raises:
        ConfigError: `image_token` is none of its tokens, or one that begins or ends a text.
    """
    where, more = locate(recipe.llm)
    with reading(recipe.llm, "a tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            where, local_files_only=local_files_only, **more
        )
    if recipe.image_token is None:
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    elif recipe.image_token not in tokenizer.get_vocab():
        raise ConfigError(
            f"model.image_token='{recipe.image_token}' is no token of {recipe.llm}; name an unused "
            "one of its special tokens, or set it to null to have <image> added to the tokenizer."
        )
    elif recipe.image_token in (tokenizer.bos_token, tokenizer.eos_token):
        raise ConfigError(
            f"model.image_token='{recipe.image_token}' begins or ends a text of {recipe.llm}; name "
            "an unused token, or set it to null to have <image> added to the tokenizer."
        )
    return tokenizer
