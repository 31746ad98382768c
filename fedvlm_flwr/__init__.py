"""Federated fine-tuning of vision-language models on Flower."""

import os

# Threads that wait for each other by spinning starve once another process wants the cores: small
# models were seen to train ten times slower. libgomp reads this when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
