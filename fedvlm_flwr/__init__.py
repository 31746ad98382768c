"""Federated fine-tuning of vision-language models on Flower."""

__version__ = "0.1.0"
