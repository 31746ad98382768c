"""From the CPU's memory to a model's device."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on `device`, without waiting for a GPU.

    A copy from memory that may be paged out makes the CPU wait until the GPU has done all that it
    was told before; from page-locked memory it takes its place among that.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
