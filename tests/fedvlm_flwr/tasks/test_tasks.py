"""What holds for every task."""

import math

import pytest

from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.tasks import load_task, task_names

REFERENCES = {
    "vqa": ["yes", "no", "blue"],
    "classification": ["circle", "The shape is a circle.", "blue"],
    "captioning": ["a blue circle", "a red circle", "a teal square"],
    "detection": ["[0.1, 0.2, 0.3, 0.4]", "[0, 0, 1, 1]", "[0.50, 0.50, 0.20, 0.10]"],
}


def test_the_tasks() -> None:
    assert (
        task_names() == ["captioning", "classification", "detection", "vqa"] == sorted(REFERENCES)
    )


@pytest.mark.parametrize("name", ["text", "base", "../vqa", "segmentation"])
def test_an_unknown_task_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=r"choose one of: captioning, .*, vqa\."):
        load_task(name)


@pytest.mark.parametrize("name", REFERENCES)
class TestEveryTask:
    def test_perfect_answers_beat_the_majority_which_beats_none(self, name: str) -> None:
        task, truth = load_task(name), REFERENCES[name]
        perfect, blind, empty = (
            task.score(answers, truth)[task.HEADLINE]
            for answers in (truth, [task.majority(truth)] * 3, [""] * 3)
        )
        assert perfect > blind > empty == 0.0

    def test_scores_are_plain_finite_numbers(self, name: str) -> None:
        task = load_task(name)
        for answers in (REFERENCES[name], ["", "\n", "[[,"], REFERENCES[name][::-1]):
            scores = task.score(answers, REFERENCES[name])
            assert all(type(value) is float and math.isfinite(value) for value in scores.values())

    def test_empty_and_uneven_input_is_refused(self, name: str) -> None:
        task = load_task(name)
        with pytest.raises(DataError, match="0 references"):
            task.score([], [])
        with pytest.raises(DataError, match="0 references"):
            task.majority([])
        with pytest.raises(DataError, match="2 predictions for 3 references"):
            task.score(["a", "b"], REFERENCES[name])

    def test_nothing_is_printed(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        load_task(name).score(REFERENCES[name], REFERENCES[name])
        assert capsys.readouterr() == ("", "")
