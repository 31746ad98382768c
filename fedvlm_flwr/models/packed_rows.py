"""Where the places of a batch's padded rows stand when they are one behind the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedvlm_flwr.models.transfer import to_device


class Rows:
    """Where the places of padded rows stand when they are packed; all are tensors of places.

    Args:
        lengths: of each row without padding.
        answers: see `answer_states`.
        longest: of each row with padding.
        device: where the places are wanted.

    Attributes:
        real: of padded rows, those that are no padding.
        positions: of each packed place in its row.
        read: of the packed places, those that an answer's tokens are predicted from.
        read_in_rows: the same of the padded ones.
    """

    def __init__(
        self, lengths: Sequence[int], answers: Sequence[int], longest: int, device: torch.device
    ) -> None:
        self.count, self.longest, self.most_read = len(lengths), longest, max(answers)
        sizes, reads, rows = np.array(lengths), np.array(answers), np.arange(len(lengths))
        positions = _counted(sizes)
        real = positions + np.repeat(rows * longest, sizes)
        read = _counted(reads) + np.repeat(np.cumsum(sizes) - reads - 1, reads)
        slots = _counted(reads) + np.repeat(rows * self.most_read, reads)
        # What is padding holds the first place's values, and a slot without a reader looks as the
        # row's first place does: a softmax over nothing is not a number.
        filled = np.zeros(self.count * longest, np.int64)
        filled[real] = np.arange(len(real))
        readers = np.zeros(self.count * self.most_read, np.int64)
        readers[slots] = np.arange(len(read))
        looking = np.repeat(rows * longest, self.most_read)
        looking[slots] = real[read]
        parts = (positions, real, read, real[read], slots, filled, readers, looking)
        ends = np.cumsum([len(part) for part in parts])[:-1].tolist()
        one = to_device(torch.tensor(np.concatenate(parts)), device)  # a single copy for all
        self.positions, self.real, self.read, self.read_in_rows, *others = one.tensor_split(ends)
        self._slots, self._filled, self._readers, self._looking = others

    def pad(self, heads: Tensor) -> Tensor:
        """Packed heads [1, heads, places, width] in rows, [B, heads, T, width]."""
        return self._in_rows(_by_place(heads), self._filled, self.real, heads)

    def pad_read(self, heads: Tensor) -> Tensor:
        """The same of the places that are read, [B, heads, most that are read of a row, width]."""
        read = _by_place(heads).index_select(0, self.read)
        return self._in_rows(read, self._readers, self._slots, heads)

    def _in_rows(self, values: Tensor, there: Tensor, back: Tensor, heads: Tensor) -> Tensor:
        moved: Tensor = _Moved.apply(values, there, back)  # type: ignore[no-untyped-call]
        return moved.view(self.count, -1, heads.shape[1], heads.shape[3]).transpose(1, 2)

    def pack(self, out: Tensor) -> Tensor:
        """What attention gives for rows [B, T, heads, width], packed: [1, places, heads, width]."""
        return out.flatten(0, 1).index_select(0, self.real)[None]

    def pack_read(self, out: Tensor) -> Tensor:
        """The same for the places that are read; 0 for the others."""
        read = out.flatten(0, 1).index_select(0, self._slots)
        packed = read.new_zeros(len(self.real), *read.shape[1:])
        return packed.index_copy_(0, self.read, read)[None]

    def sight(self, mask: Tensor | None) -> Tensor:
        """What the places that are read see, [B, 1, most that are read of a row, T]."""
        if mask is None:
            places = torch.arange(self.longest, device=self._looking.device)
            sight = places <= (self._looking % self.longest)[:, None]
        else:
            each = mask.expand(self.count, -1, -1, -1)
            sight = each.flatten(0, 2).index_select(0, self._looking)
        return sight.view(self.count, 1, self.most_read, self.longest)


def _counted(sizes: Any) -> Any:
    """0, 1, 2 and so on for each size, one behind the other."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _by_place(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)[0]


class _Moved(torch.autograd.Function):
    """Values taken to places of which `back` are read; from the others no gradient can come."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return values.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradients[0].index_select(0, back), None, None
