"""The settings that every kind of model has."""

from dataclasses import dataclass, field

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting

DTYPES = ("float32", "bfloat16", "float16")
QUANTIZED = ("4bit", "8bit")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How frozen weights are held: precision, quantization, attention."""

    dtype: str
    """Of frozen weights and computation: float32, bfloat16 or float16; trained ones are float32."""
    quantize: str | None
    """Hold the LLM's linear layers in `4bit` (nf4) or `8bit`; null: as they are."""
    attention: str
    """`sdpa`, `eager`, `flash_attention_2`, or `auto`: flash attention where it runs, or SDPA."""
    max_text_tokens: int = field(metadata=setting(above=0))
    """Tokens that prompt and answer may take together, the image's own not counted."""

    def __post_init__(self) -> None:
        for key, choices in (("dtype", DTYPES), ("attention", ATTENTION)):
            if getattr(self, key) not in choices:
                raise ConfigError(
                    f"model.{key} is '{getattr(self, key)}'; choose one of: {', '.join(choices)}."
                )
        if self.quantize is not None and self.quantize not in QUANTIZED:
            raise ConfigError(
                f"model.quantize is '{self.quantize}'; choose one of: {', '.join(QUANTIZED)}, or "
                "null."
            )
