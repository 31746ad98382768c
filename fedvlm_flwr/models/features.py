"""The frozen encoding of pictures, computed once per picture and process."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedvlm_flwr.models.base import VLM


class FeatureCache:
    """Features by picture, in memory, on the CPU.

    Attributes:
        encoded: pictures encoded so far; never more than the distinct pictures asked for.
    """

    def __init__(self, vlm: VLM, batch_size: int = 64) -> None:
        self._vlm = vlm
        self._batch_size = batch_size
        self._rows: dict[Path, Tensor] = {}
        self.encoded = 0

    def encode(self, images: Sequence[Path]) -> None:
        """Encode the pictures that are not yet known, in batches.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        missing = [image for image in dict.fromkeys(images) if image not in self._rows]
        for start in range(0, len(missing), self._batch_size):
            part = missing[start : start + self._batch_size]
            rows = self._vlm.features(part).cpu()
            self._rows.update(zip(part, rows, strict=True))
            self.encoded += len(part)

    def __call__(self, images: Sequence[Path]) -> Tensor:
        """Features of pictures in the given order, [N, tokens, width], on the model's device."""
        self.encode(images)
        return torch.stack([self._rows[image] for image in images]).to(self._vlm.device)
