"""How frozen weights are held: precision, quantization, attention."""

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.utils.import_utils import is_flash_attn_2_available

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# How a tiny model that is made here lies on the disk: half the size, and of the two short types the
# one that keeps three more bits of numbers as small as weights are.
STORED = torch.float16


def torch_dtype(params: Loading) -> torch.dtype:
    """The precision as torch's."""
    return DTYPES[params.dtype]


def attention_of(params: Loading, device: torch.device) -> str:
    """What transformers shall use.

    Raises:
        ConfigError: flash attention is asked for and cannot run here.
    """
    able = device.type == "cuda" and params.dtype != "float32" and bool(is_flash_attn_2_available())
    if params.attention == "flash_attention_2" and not able:
        raise ConfigError(
            "model.attention=flash_attention_2 needs the package flash-attn, a CUDA device and "
            f"model.dtype bfloat16 or float16 (here: {device.type}, {params.dtype}); use sdpa."
        )
    if params.attention == "auto":
        return "flash_attention_2" if able else "sdpa"
    return params.attention


def quantization_of(params: Loading, skip: list[str]) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantize all linear layers but those under `skip`.

    Raises:
        ConfigError: bitsandbytes is not installed or cannot work here.
    """
    if params.quantize is None:
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"model.quantize={params.quantize} needs bitsandbytes, which is not installed; "
            'pip install "fedvlm-flwr[quant]" or set model.quantize=null.'
        )
    four = params.quantize == "4bit"
    return {
        "quantization_config": BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=four,
            load_in_8bit=not four,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch_dtype(params),
            llm_int8_skip_modules=skip,
        )
    }
