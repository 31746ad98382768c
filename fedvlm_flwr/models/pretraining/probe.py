"""The probe of the vision stage: linear heads that tell a caption's words and a shape's box."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.models.pretraining.data import PublicImage

PLACES = 101  # the numbers 0.00 to 1.00


class Probe:
    """Two linear heads on the mean of an image's tokens, thrown away after the vision stage.

    Args:
        tokenizer: gives the words of captions their numbers.
        images: the N public images.
        width: of an image token.
        seed: of the heads' random start.

    Attributes:
        pool: numbers of the images that have a caption and a box.
        heads: a norm and one layer for both.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        images: Sequence[PublicImage],
        width: int,
        seed: int,
    ) -> None:
        self.pool = [i for i, image in enumerate(images) if image.caption and image.box]
        self._hot = torch.zeros(len(images), len(tokenizer))  # the words of each caption
        for i in self.pool:
            ids = tokenizer(images[i].caption, add_special_tokens=False)["input_ids"]
            self._hot[i, ids] = 1
        # A word of every caption tells nothing.
        self._words = self._hot.any(0) & ~self._hot[self.pool].all(0)  # [vocabulary]
        out = int(self._words.sum()) + 4 * PLACES
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))

    def loss(
        self, tokens: Tensor, numbers: Sequence[int], boxes: Tensor, box_weight: float
    ) -> Tensor:
        """How badly the heads tell words and box (scalar, with gradient).

        The box is told as choices between two-decimal numbers, which is how the language model
        will say them: a vision part trained on the distance instead tells the box in a form that
        a language model does not learn to read.

        Args:
            tokens: [B, tokens, width] of a batch's images.
            numbers: of these images, [B].
            boxes: where their shapes lie, [B, 4] in fractions.
            box_weight: of the box's cross-entropy beside the words'.
        """
        out = self.heads(tokens).mean(1)  # [B, 4 * PLACES + words]
        hot = self._hot[list(numbers)][:, self._words]  # [B, words]
        words = -(hot * out[:, 4 * PLACES :].log_softmax(1)).sum(1)  # [B]
        places = F.cross_entropy(
            out[:, : 4 * PLACES].reshape(-1, PLACES), (boxes.flatten() * 100).round().long()
        )
        loss: Tensor = words.mean() + box_weight * places
        return loss
