"""One configured seed, split into independent streams by purpose."""

import zlib

import numpy as np


def stream(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """A generator that depends on the seed, the purpose and the place (stage, round, client) only.

    It holds no state of earlier draws, so that a resumed run draws what an uninterrupted one does.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *place])


def torch_seed(seed: int, purpose: str, *place: int) -> int:
    """A seed for torch's global generator (dropout, initial weights), from the same rule."""
    return int(stream(seed, purpose, *place).integers(2**31))
