"""Federated fine-tuning of vision-language models on Flower."""

import os

# Threads that wait for each other by spinning take the cores from whoever has work to do, the other
# threads of the same program among them (docs/performance.md). libgomp reads it when torch is
# first imported, here and in every process that is started from here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
