"""What is used of peft, imported without torch's compiler.

Where bitsandbytes is installed, peft imports it, and it has four functions compiled as it is
imported: a second of each process, for functions that only a quantized model on a CPU calls.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import Any

import torch

Function = Callable[..., Any]


@contextmanager
def late_compilation() -> Iterator[None]:
    """Have what `torch.compile` is given meanwhile compiled when it is called."""
    compiler = torch.compile

    def later(function: Function | None = None, **options: Any) -> Any:
        if function is None:
            return partial(later, **options)
        compiled = cache(lambda: compiler(function, **options))

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return compiled()(*args, **kwargs)

        return call

    torch.compile = later  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = compiler


with late_compilation():
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import Linear, LoraLayer

__all__ = ["Linear", "LoraConfig", "LoraLayer", "inject_adapter_in_model"]
