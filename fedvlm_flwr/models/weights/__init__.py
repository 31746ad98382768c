"""Frozen weights: where they come from, how they are held, models that are made here and kept."""
