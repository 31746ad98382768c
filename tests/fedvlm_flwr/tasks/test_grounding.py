"""Grounding is scored as detection is."""

from fedvlm_flwr.tasks import detection, grounding

REFERENCES = ["[0.1, 0.2, 0.3, 0.4]", "[0, 0, 1, 1]", "[0.50, 0.50, 0.20, 0.10]"]
LONG_REFERENCE = "[0, 0, 1, 1]"
BOXES_IN = {"question", "answer"}


def test_it_has_detections_scores() -> None:
    answers = ["[0, 0, 0.5, 1]", "no idea", "[0.50, 0.50, 0.20, 0.10]"]
    assert grounding.score(answers, REFERENCES) == detection.score(answers, REFERENCES)
