"""A LLaVA put together from a vision tower, a connector and a language model, or with another."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedConfig
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.llava.connectors import network_class
from fedvlm_flwr.models.llava.description import VISION_HALF, describe, read_tokenizer
from fedvlm_flwr.models.llava.model import added_tokens
from fedvlm_flwr.models.llava.params import Assembly, ConnectorStart
from fedvlm_flwr.models.weights.loading import STORED
from fedvlm_flwr.models.weights.prepared import MANIFEST
from fedvlm_flwr.models.weights.sources import (
    read_config,
    read_image_processor,
    read_weights,
    require_whole,
)


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
    module = join(config, vision, llm.get_decoder(), llm.get_output_embeddings(), recipe)
    tokenizer = read_tokenizer(recipe)
    module.generation_config.eos_token_id = tokenizer.eos_token_id
    # The language model never says what it has no word for.
    module.generation_config.suppress_tokens = list(added_tokens(config)) or None
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    read_image_processor(recipe.vision).save_pretrained(folder)


def reconnect(source: Path, start: ConnectorStart, folder: Path) -> None:
    """Write a prepared checkpoint anew with another connector in the place of its own.

    Raises:
        ModelError: the connector's weights cannot be read or are not its own.
    """
    config: Any = read_config(str(source))
    network, report = read_weights(
        network_class(config), str(source), "a LLaVA model", dtype=STORED
    )
    require_whole(str(source), report)
    config.connector = start.connector
    whole = network.model
    module = join(config, whole.vision_tower, whole.language_model, network.lm_head, start)
    module.generation_config = network.generation_config
    for path in source.iterdir():  # the tokenizer's and the picture processing's, as they are
        if path.name not in (MANIFEST, CONFIG_NAME, SAFE_WEIGHTS_NAME):
            shutil.copy(path, folder)
    module.save_pretrained(folder)


def join(
    config: PreTrainedConfig, vision: Any, decoder: Any, head: nn.Module, start: ConnectorStart
) -> Any:
    """The network of a configuration, with these parts and a connector at its start.

    The connector gets the language model's precision.
    """
    with torch.device("meta"):
        module = network_class(config)(config)
    module.model.vision_tower = vision
    module.model.language_model = decoder
    module.lm_head = head
    connector = start_connector(start, module.model.multi_modal_projector)
    module.model.multi_modal_projector = connector.to(decoder.dtype)
    return module


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


def start_connector(start: ConnectorStart, connector: nn.Module) -> nn.Module:
    """The connector with its first weights: those of a file, or random from the seed."""
    connector.to_empty(device="cpu")
    if start.connector_weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start.connector_seed)
            for layer in connector.modules():
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
        return connector
    try:
        report = connector.load_state_dict(load_file(start.connector_weights), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"model.connector_weights={start.connector_weights} cannot be read as a connector "
            f"'{start.connector}' ({' '.join(str(error).split())})."
        ) from error
    keys = {"missing_keys": report.missing_keys, "unexpected_keys": report.unexpected_keys}
    require_whole(start.connector_weights, keys)
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
