"""The public pictures that tiny models are pretrained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.models.pretraining.data import PublicImage, by_image


@dataclass(frozen=True)
class Public:
    """The dataset whose public pictures a tiny model is pretrained on."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def pictures(self) -> list[PublicImage]:
        """The public pictures with all that is asked about them."""
        data = load_data(self.name, self.params)
        return by_image(examples(data.public, data.root))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have torch compute on so many threads: another number rounds sums differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
