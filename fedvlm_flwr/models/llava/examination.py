"""Whether a LLaVA can be run and trained here, told from its files before any weight is read."""

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoTokenizer,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.llava.connectors import network_class
from fedvlm_flwr.models.llava.language_model import require_decoder
from fedvlm_flwr.models.llava.model import PARTS_OF
from fedvlm_flwr.models.llava.params import Params
from fedvlm_flwr.models.patches import picture_size, tower_tokens
from fedvlm_flwr.models.weights.loading import attention_of
from fedvlm_flwr.models.weights.sources import (
    architecture,
    is_described,
    locate,
    read_image_processor,
    reading,
)


def examine(checkpoint: str, params: Params, local_files_only: bool) -> Any:
    """The configuration of a whole checkpoint, whose files belong together.

    Args:
        local_files_only: fetch nothing.

    Raises:
        ModelError: it is of another family, its parts cannot be trained here, or its picture
            processing makes what its vision tower does not take.
        ConfigError: `model.image_token` is not its token for a picture.
    """
    config: Any = architecture(checkpoint, params.architectures, local_files_only=local_files_only)
    if config.model_type != LlavaConfig.model_type:
        raise ModelError(
            f"{checkpoint} is of the family '{config.model_type}', not a LLaVA; use model=hf_vlm "
            "for other image-text-to-text models, or model.vision with model.llm."
        )
    text = config.text_config
    decoder = meta_network(config).get_submodule(PARTS_OF["llm"])
    require_decoder(checkpoint, text.model_type, decoder)
    if not is_described(checkpoint, params.architectures):
        processing = read_image_processor(checkpoint, local_files_only=local_files_only)
        size = picture_size(checkpoint, processing)
        tower_tokens(checkpoint, config.vision_config, size, config.vision_feature_layer)
        with reading(checkpoint, "a tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(
                locate(checkpoint)[0], local_files_only=local_files_only
            )
        image_token_of(checkpoint, config, tokenizer, params.image_token)
    return config


def attention_for(network: nn.Module, params: Params, device: torch.device) -> dict[str, str]:
    """What `from_pretrained` is told about attention.

    Under `auto` transformers chooses for each of the networks inside: SDPA, or eager attention
    where SDPA would leave something out (Gemma 2's bounded scores, GPT-OSS's sinks); flash
    attention only where all of them have it.

    Raises:
        ConfigError: a network inside has no such attention, or flash attention cannot run here.
    """
    attention = attention_of(params, device)
    able = {"sdpa": "_supports_sdpa", "flash_attention_2": "_supports_flash_attn"}.get(attention)
    networks = [m for m in network.modules() if isinstance(m, PreTrainedModel)]
    lacking = [m for m in networks if able is not None and not getattr(m, able)]
    if params.attention != "auto":
        if lacking:
            raise ConfigError(
                f"model.attention={attention} cannot compute the attention of "
                f"{type(lacking[0]).__name__}; set it to auto or eager."
            )
        return {"attn_implementation": attention}
    return {} if lacking or attention == "sdpa" else {"attn_implementation": attention}


def image_token_of(
    source: str, config: Any, tokenizer: PreTrainedTokenizerBase, name: str | None
) -> str:
    """The token that stands for a picture, which is the one that transformers replaces too.

    Args:
        name: `model.image_token`.

    Raises:
        ConfigError: the configuration says another one than `name`, or none of the tokenizer's.
    """
    own = tokenizer.convert_ids_to_tokens(config.image_token_index)
    token = own if name is None else name
    instead = "null" if name is not None else "one of the tokenizer's, or use another checkpoint"
    if not isinstance(token, str) or tokenizer.get_vocab().get(token) != config.image_token_index:
        raise ConfigError(
            f"model.image_token='{name}' is not the token of {source} for a picture, which is "
            f"number {config.image_token_index} of its tokenizer ({own}); set it to {instead}."
        )
    return token


def meta_network(config: PreTrainedConfig) -> Any:
    """The network of a LLaVA configuration on the meta device."""
    with torch.device("meta"):
        return network_class(config)(config)
