"""The public pictures that tiny models are pretrained on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.models.pretraining.data import PublicImage, by_image
from fedvlm_flwr.models.pretraining.recipe import Public


def public_pictures(public: Public) -> list[PublicImage]:
    """The public pictures with all that is asked about them.

    Raises:
        DataError: the dataset's files cannot be used.
    """
    data = load_data(public.dataset)
    return by_image(examples(data.public(), data.root))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have torch compute on so many threads: another number rounds sums differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
