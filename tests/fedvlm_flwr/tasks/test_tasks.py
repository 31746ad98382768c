"""What holds for every task."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.tasks import load_task, task_names
from tests.facts import declared

TASKS = task_names()
REFERENCES = declared("tests.fedvlm_flwr.tasks", TASKS, "REFERENCES")  # three of a dataset
# Which texts of an example hold boxes, where any do.
BOXES_IN = declared("tests.fedvlm_flwr.tasks", TASKS, "BOXES_IN")
BOXES = ["[0.1, 0.2, 0.3, 0.4]", "[0, 0, 1, 1]", "[0.50, 0.50, 0.20, 0.10]"]
WORDS = ["yes", "no", "a red circle", "lung", "The answer is", *BOXES, "{'heart': [0, 0, 1, 1]}"]


def test_every_task_has_three_references_in_its_test() -> None:
    assert {name: len(REFERENCES.get(name, ())) for name in TASKS} == dict.fromkeys(TASKS, 3)


@pytest.mark.parametrize("name", ["text", "base", "../vqa", "segmentation"])
def test_an_unknown_task_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_task(name)
    assert str(refusal.value).endswith(f"choose one of: {', '.join(TASKS)}.")


@pytest.mark.parametrize("name", TASKS)
def test_where_boxes_stand(name: str) -> None:
    assert BOXES_IN.get(name, set()) == load_task(name).BOXES_IN


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
            values = sum(task.each(answers, REFERENCES[name]).values(), list(scores.values()))
            assert all(type(value) is float and math.isfinite(value) for value in values)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_scores_are_the_means_of_the_examples_in_any_order(
        self, name: str, data: st.DataObject
    ) -> None:
        task = load_task(name)
        known = st.sampled_from(REFERENCES[name])
        said = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
        pairs = data.draw(st.lists(st.tuples(said | known, known), min_size=1, max_size=8))
        predictions, references = map(list, zip(*pairs, strict=True))
        scores, values = task.score(predictions, references), task.each(predictions, references)
        assert task.HEADLINE in values
        for metric, column in values.items():
            assert len(column) == len(pairs)
            assert scores[metric] == pytest.approx(sum(column) / len(column), abs=1e-12), metric
        random.Random(0).shuffle(pairs)
        again = task.score(*map(list, zip(*pairs, strict=True)))
        assert again == pytest.approx(scores, abs=1e-12)

    def test_empty_and_uneven_input_is_refused(self, name: str) -> None:
        task = load_task(name)
        with pytest.raises(DataError, match="0 references"):
            task.majority([])
        for call in (task.score, task.each):
            with pytest.raises(DataError, match="0 references"):
                call([], [])
            with pytest.raises(DataError, match="2 predictions for 3 references"):
                call(["a", "b"], REFERENCES[name])

    def test_nothing_is_printed(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        load_task(name).score(REFERENCES[name], REFERENCES[name])
        assert capsys.readouterr() == ("", "")
