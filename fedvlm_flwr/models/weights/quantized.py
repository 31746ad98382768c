"""What a quantized network needs before it is trained and asked in turns."""

from typing import Any

from torch import nn


def trainable_on_cpu(network: nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on CPUs with AVX-512.

    It repacks a layer the first time that it is called without gradient, for speed, and its
    backward pass then reads the packed weights as if they were not: after one evaluation, every
    gradient would be wrong and nothing would tell (bitsandbytes 0.50).
    """
    for layer in network.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            packing: Any = layer
            packing.support_avx512bf16_for_cpu = False
