"""Kind `hf_vlm`: a checkpoint of any image-text-to-text family of transformers that is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText
from transformers.utils.logging import disable_progress_bar

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.contracts import Progress
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.hf_vlm.families import Family, family_of
from fedvlm_flwr.models.hf_vlm.inputs import IDS, TILES, HfInputs
from fedvlm_flwr.models.hf_vlm.model import HfVlm
from fedvlm_flwr.models.hf_vlm.params import Params
from fedvlm_flwr.models.hf_vlm.processor import read_processor
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.vlm import Skeleton
from fedvlm_flwr.models.weights.loading import attention_of, quantization_of, torch_dtype
from fedvlm_flwr.models.weights.quantized import trainable_on_cpu
from fedvlm_flwr.models.weights.sources import (
    locate,
    read_config,
    read_weights,
    reading,
    require_whole,
)

# Bars would write between the lines of a run's own progress.
disable_progress_bar()  # type: ignore[no-untyped-call]

READER: Any = AutoModelForImageTextToText  # its annotations leave out what it returns here
TYPICAL = (640, 480)  # a common picture's width and height: some families take more for larger ones


def load(name: str, params: Params, device: torch.device) -> HfVlm:
    """The model, in evaluation mode on `device`.

    Raises:
        ModelError: the family is unknown, or the checkpoint cannot be read or is not whole.
        ConfigError: flash attention or quantization is asked for and cannot be had.
    """
    source = params.checkpoint
    config = read_config(source)
    family = family_of(source, config)
    inputs = read_inputs(params, family, config)  # weights are read for what fits only
    quantized = quantization_of(params, [family.vision, family.connector, "lm_head"])
    attention = attention_for(family, config.model_type, params, device)
    placed = {"device_map": {"": device}, **quantized} if quantized else {}
    module, loading_info = read_weights(
        READER,
        source,
        "an image-text-to-text model",
        dtype=torch_dtype(params),
        **attention,
        **placed,
    )
    require_whole(source, loading_info)
    module.requires_grad_(False)
    network: nn.Module = module
    network.eval()
    if quantized:
        trainable_on_cpu(network)
    else:
        network.to(device)
    return HfVlm(module, inputs)


def attention_for(
    family: Family, kind: str, params: Loading, device: torch.device
) -> dict[str, str]:
    """What `from_pretrained` is told about attention.

    Without flash attention, `auto` leaves the choice to transformers: SDPA in those of the model's
    networks that have it. A family with a mask of its own never gets flash attention.

    Raises:
        ConfigError: flash attention is asked for and cannot run here.
    """
    if family.own_mask and params.attention == "flash_attention_2":
        raise ConfigError(
            f"model.attention=flash_attention_2 cannot compute the masks of the family '{kind}', "
            "which are not causal everywhere; use auto or sdpa."
        )
    attention = attention_of(params, device)
    if params.attention == "auto" and (family.own_mask or attention == "sdpa"):
        return {}
    return {"attn_implementation": attention}


def prepare(name: str, params: Params, progress: Progress | None = None) -> Path | None:
    """Nothing is made here; that processor and network belong together is looked at.

    Raises:
        ModelError: they do not, they cannot be read, or the family is unknown.
    """
    config = read_config(params.checkpoint)
    read_inputs(params, family_of(params.checkpoint, config), config)
    return None


def folder(name: str, params: Params) -> Path | None:
    """Nothing is made here."""
    return None


def skeleton(params: Params) -> Skeleton:
    """The network on the meta device, from what lies in the folder or in the hub's cache.

    `image_tokens` and `image_states` are what a picture of 640 x 480 pixels takes.

    Raises:
        ModelError: configuration, tokenizer or picture processing is not at hand, or the family is
            unknown.
    """
    source = params.checkpoint
    config = read_config(source, local_files_only=True)
    family = family_of(source, config)
    with torch.device("meta"):
        module = READER.from_config(config)
    module.requires_grad_(False)
    inputs = read_inputs(params, family, config, local_files_only=True)
    row = inputs.encode_image(Image.new("RGB", TYPICAL), torch_dtype(params))
    tokens = int((row[IDS] == config.image_token_id).sum())
    vision: Any = module.get_submodule(family.vision)
    states = vision.num_patches * row[TILES].shape[-1] if TILES in row else 0  # of all tiles
    targets = linear_names(module.get_submodule(family.llm))
    return Skeleton(module, family.parts, targets, image_tokens=tokens, image_states=states)


def read_inputs(
    params: Params, family: Family, config: Any, *, local_files_only: bool = False
) -> HfInputs:
    """Processor and prompts, tried on a blank picture so that what does not fit is told at once.

    Raises:
        ModelError: they cannot be read, or do not belong together.
    """
    source = params.checkpoint
    where, _ = locate(source, local_files_only=local_files_only)
    with reading(source, "a processor of pictures and text"):
        processor = read_processor(source, where, family, config, local_files_only)
        inputs = HfInputs(processor, family, params.max_text_tokens, source)
        inputs.encode_image(Image.new("RGB", TYPICAL), torch_dtype(params))
    return inputs


def pictures(params: Params) -> range:
    """How many pictures an example may show, by the checkpoint's processor and chat template.

    Raises:
        ModelError: they cannot be read, or the family is unknown.
    """
    config = read_config(params.checkpoint)
    return read_inputs(params, family_of(params.checkpoint, config), config).pictures


def parts(params: Params) -> Mapping[str, str]:
    """Module path by part.

    Raises:
        ModelError: the checkpoint's configuration cannot be read, or its family is unknown.
    """
    return family_of(params.checkpoint, read_config(params.checkpoint)).parts
