"""The configuration of a LLaVA that is put together, told before any weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    AutoTokenizer,
    CLIPVisionModel,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SiglipVisionModel,
)

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.llava.language_model import require_language_model
from fedvlm_flwr.models.llava.model import IMAGE
from fedvlm_flwr.models.llava.params import Assembly
from fedvlm_flwr.models.patches import TowerTokens, pair, picture_size, tower_tokens
from fedvlm_flwr.models.weights.sources import (
    architecture,
    is_described,
    locate,
    read_image_processor,
    reading,
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
    token_id, size = 0, pair(getattr(vision, "image_size", 0))
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
