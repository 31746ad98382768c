"""Scores by generation, their controls and their statistics."""
