"""Federated fine-tuning of vision-language models on Flower."""

import ctypes
import os
import sys
from typing import Any

# Threads that wait for each other by spinning take the cores from whoever has work to do, the other
# threads of the same program among them (docs/performance.md). libgomp reads it when torch is
# first imported, here and in every process that is started from here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# NumPy's threads spin too. What it multiplies here are tall thin matrices, which one thread does in
# a tenth of the CPU time (`python benchmarks/adapters.py`).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# glibc gives freed memory back to the system as soon as some 32 MB of it are free, and every round
# takes it anew, for which the system has to clear it: much of the CPU time of a message of 16 MB.
# Larger ones than the second are reused where the heap has room for them; it grows by the third
# beyond what is asked for, by addresses which are no memory before they are written to.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _TOP_PAD = -1, -3, -2  # of malloc.h
if sys.platform == "linux" and (_mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
    _mallopt(_TRIM_THRESHOLD, 2**29)
    _mallopt(_MMAP_THRESHOLD, 2**25)  # the largest that it takes; one that is set keeps the other
    _mallopt(_TOP_PAD, 7 * 2**26)  # less than the first, or all of it went back

__version__ = "0.1.0"
__all__ = ["load_run", "run"]


def __getattr__(name: str) -> Any:
    """`run` and `load_run`, which bring torch with them once they are asked for."""
    if name in __all__:
        from fedvlm_flwr import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
