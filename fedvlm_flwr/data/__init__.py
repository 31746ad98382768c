"""Datasets as Arrow tables of conversations, and how their rows are assigned to clients."""
