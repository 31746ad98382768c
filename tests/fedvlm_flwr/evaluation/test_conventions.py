"""The scores of papers over examples."""

from pathlib import Path

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.controls import majority_scores, question_majority_scores
from fedvlm_flwr.evaluation.conventions import (
    convention_scores,
    convention_scores_each,
    require_headlines,
    require_tasks,
)


def example(answer: str, others: tuple[str, ...] = (), closed: bool | None = None) -> Example:
    return Example("x", (Path("x.png"),), "what?", answer, "vqa", others, closed)


def test_metrics_bear_the_convention_s_name() -> None:
    """The examples' ten answers and their kind of question reach the conventions."""
    own = [example("dog", ("dog", *["cat"] * 8)), example("left", closed=True)]
    said, names = ["dog", "on the left"], ["vqav2", "vqa_rad", "coco_caption"]
    assert convention_scores("vqa", said, own, names) == {
        "vqav2_accuracy": pytest.approx(0.3),  # two of ten 0.6, and 0
        "vqa_rad_closed": 1.0,
        "vqa_rad_open_recall": 1.0,
    }
    assert convention_scores_each("vqa", said, own, names) == {
        "vqav2_accuracy": pytest.approx([0.6, 0.0])
    }


def test_controls_give_a_convention_the_answer_as_it_is_worded() -> None:
    training = {"vqa": [example(text) for text in ("The answer is B.", "The answer is B.", "A")]}
    for control in (majority_scores, question_majority_scores):
        scores = control({"vqa": [example("B"), example("C")]}, training, ["scienceqa"])
        assert scores["vqa"]["scienceqa_accuracy"] == 0.5


def test_a_convention_that_scores_no_task_of_the_test_set_is_refused() -> None:
    require_tasks(["vqav2", "coco_caption"], ["captioning", "vqa"])
    with pytest.raises(
        ConfigError, match="coco_caption, which scores captioning, report, and the "
    ):
        require_tasks(["coco_caption"], ["vqa"])


def test_a_headline_that_there_is_not_is_refused() -> None:
    scores = {"vqa": {"accuracy": 1.0, "f1_open": 0.5}}
    require_headlines({"vqa": "f1_open", "detection": "iou"}, scores)
    with pytest.raises(ConfigError, match=r"headlines\.vqa=f1 is no .* of: accuracy, f1_open"):
        require_headlines({"vqa": "f1"}, scores)


def test_the_dataset_chooses_and_the_command_line_may_choose_anew() -> None:
    own = compose({"overrides": "dataset.conventions=[vqav2]"}).eval
    assert (own.conventions, own.headlines["vqa"]) == (["vqav2"], "accuracy")
    other = "dataset.conventions=[vqav2] eval.conventions=[] 'eval.headlines={vqa: f1_open}'"
    config = compose({"overrides": other})
    assert (config.eval.conventions, config.eval.headlines) == ([], {"vqa": "f1_open"})
    with pytest.raises(
        ConfigError, match="conventions names 'vqa2'; choose one of: coco_caption, "
    ):
        compose({"overrides": "eval.conventions=[vqa2]"})
    with pytest.raises(ConfigError, match="headlines names 'voqa'"):
        compose({"overrides": "eval.headlines={voqa:accuracy}"})
