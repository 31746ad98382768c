"""Reports are scored as captions are."""

from fedvlm_flwr.tasks import captioning, report

REFERENCES = ["a blue circle", "a red circle", "a teal square"]
LONG_REFERENCE = "The report is: " + "the left lung is clear " * 20


def test_it_has_captionings_scores() -> None:
    answers = ["a blue square", "", "The report is: a teal square"]
    assert report.score(answers, REFERENCES) == captioning.score(answers, REFERENCES)
