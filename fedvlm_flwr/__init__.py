"""Federated fine-tuning of vision-language models on Flower."""

import os

# Threads that spin long while they wait for each other starve once another process wants the
# cores (small models were seen to train ten times slower); threads that sleep at once are slow to
# wake. A short spin is near the best of both. libgomp reads it when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

__version__ = "0.1.0"
