"""What a vision part is first taught to tell: the words of the caption and the shape's box."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.models.pretraining.data import Picture

PLACES = 101  # the numbers 0.00 to 1.00


class Sight:
    """Two linear heads on the mean of a picture's tokens, thrown away after the vision phase.

    Attributes:
        able: numbers of the pictures that have a caption and a box.
        heads: a norm and one layer for both, random from the seed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        pictures: Sequence[Picture],
        width: int,
        seed: int,
    ) -> None:
        self.able = [i for i, picture in enumerate(pictures) if picture.caption and picture.box]
        self._hot = torch.zeros(len(pictures), len(tokenizer))  # the words of each caption
        for i in self.able:
            ids = tokenizer(pictures[i].caption, add_special_tokens=False)["input_ids"]
            self._hot[i, ids] = 1
        # A word of every caption tells nothing.
        self._said = self._hot.any(0) & ~self._hot[self.able].all(0)
        out = int(self._said.sum()) + 4 * PLACES
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))

    def loss(
        self, tokens: Tensor, chosen: Sequence[int], boxes: Tensor, box_weight: float
    ) -> Tensor:
        """How badly the heads tell words and box (scalar, with gradient).

        The box is told as choices between two-decimal numbers, which is how the language model
        will say them: a vision part taught by the distance instead tells the box in a form that
        a language model does not learn to read.

        Args:
            tokens: [B, tokens, width] of the chosen pictures.
            chosen: their numbers, [B].
            boxes: where their shapes lie, [B, 4] in fractions.
            box_weight: of the box's cross-entropy beside the words'.
        """
        out = self.heads(tokens).mean(1)  # [B, 4 * PLACES + words]
        hot = self._hot[list(chosen)][:, self._said]
        words = -(hot * out[:, 4 * PLACES :].log_softmax(1)).sum(1)
        numbers = F.cross_entropy(
            out[:, : 4 * PLACES].reshape(-1, PLACES), (boxes.flatten() * 100).round().long()
        )
        loss: Tensor = words.mean() + box_weight * numbers
        return loss
