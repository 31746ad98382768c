"""The settings that every kind of model has."""

from dataclasses import dataclass, field

from fedvlm_flwr.settings import setting

DTYPES = ("float32", "bfloat16", "float16")
QUANTIZED = ("4bit", "8bit")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How frozen weights are held: precision, quantization, attention."""

    dtype: str = field(metadata=setting(choices=DTYPES))
    """Of frozen weights and computation: float32, bfloat16 or float16; trained ones are float32."""
    quantize: str | None = field(metadata=setting(choices=QUANTIZED))
    """Hold the LLM's linear layers in `4bit` (nf4) or `8bit`; null: as they are."""
    attention: str = field(metadata=setting(choices=ATTENTION))
    """`sdpa`, `eager`, `flash_attention_2`, or `auto`: flash attention where it runs, or SDPA."""
    max_text_tokens: int = field(metadata=setting(least=1, most=1_000_000))
    """Tokens that prompt and answer may take together, the image's own not counted."""
