"""How frozen weights are held: precision, quantisation, attention."""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.utils.import_utils import is_flash_attn_2_available

from fedvlm_flwr.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZED = ("4bit", "8bit")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The keys of a model YAML that every kind knows."""

    dtype: str
    """Of frozen weights and computation: float32, bfloat16 or float16; trained ones are float32."""
    quantize: str | None
    """Hold the LLM's linear layers in `4bit` (nf4) or `8bit`; null: as they are."""
    attention: str
    """`sdpa`, `eager`, `flash_attention_2`, or `auto`: flash attention where it runs, or SDPA."""
    max_text_tokens: int
    """What prompt and answer may take together, the picture's tokens not counted."""

    def __post_init__(self) -> None:
        for key, choices in (("dtype", tuple(DTYPES)), ("attention", ATTENTION)):
            if getattr(self, key) not in choices:
                raise ConfigError(
                    f"model.{key} is '{getattr(self, key)}'; choose one of: {', '.join(choices)}."
                )
        if self.quantize is not None and self.quantize not in QUANTIZED:
            raise ConfigError(
                f"model.quantize is '{self.quantize}'; choose one of: {', '.join(QUANTIZED)}, or "
                "null."
            )
        if self.max_text_tokens < 1:
            raise ConfigError(f"model.max_text_tokens={self.max_text_tokens} must be above 0.")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision as torch's."""
        return DTYPES[self.dtype]


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
    """Arguments of `from_pretrained` that quantise all linear layers but those under `skip`.

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
            bnb_4bit_compute_dtype=params.torch_dtype,
            llm_int8_skip_modules=skip,
        )
    }
