"""Grounding by generation: where the named thing is, scored as detection is."""

from fedvlm_flwr.tasks.detection import BOXES_IN, HEADLINE, each, majority, score

__all__ = ["BOXES_IN", "HEADLINE", "each", "majority", "score"]
