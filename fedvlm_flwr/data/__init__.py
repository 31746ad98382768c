"""Datasets as Arrow tables of conversations, and how their rows are dealt to clients."""
