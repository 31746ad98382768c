"""What every vision-language model offers to the rest of the code."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

PARTS = ("vision", "connector", "llm")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids: the prompt with the place of the image, then the answer.

    `answer_ids` ends with the end token; it is empty when the example is a question to be answered.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...] = ()


class VLM(ABC):
    """A vision-language model made of named parts (`vision`, `connector`, `llm`).

    `features` is the frozen work on a picture and is computed once per picture; everything that
    can be trained lies behind it, in `loss` and `generate`.

    Attributes:
        module: the whole network.
        parts: module path inside `module` (`model.vision_tower`) by part name; a model without a
            connector has no such key.
        lora_targets: the names of the LLM's linear layers that take an adapter, without the head.
        fingerprint: names the frozen weights, for caches.
        device: where the network lies.
    """

    module: nn.Module
    parts: Mapping[str, str]
    lora_targets: tuple[str, ...]
    fingerprint: str
    device: torch.device

    @abstractmethod
    def features(self, images: Sequence[Path]) -> Tensor:
        """The frozen encoding of pictures, [N, tokens, width] (or [N, tokens] of image-token ids).

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """

    @abstractmethod
    def encode(self, question: str, answer: str | None = None) -> Encoded:
        """Token ids of the prompt around `question`, and of the answer with its end token."""

    @abstractmethod
    def loss(self, features: Tensor, batch: Sequence[Encoded]) -> Tensor:
        """Mean cross-entropy over the answer tokens of a batch (scalar, with gradient).

        Args:
            features: [B, tokens, width], row i for `batch[i]`.
            batch: B examples with answers. Logits are computed at labelled positions only.
        """

    @abstractmethod
    def generate(
        self, features: Tensor, batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; labels in `batch`, if any, are not read."""
