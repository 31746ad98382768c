"""What holds for every convention."""

import math

import pytest

from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.tasks import task_names
from fedvlm_flwr.tasks.conventions import convention_names, load_convention
from tests.facts import declared

CONVENTIONS = convention_names()
REFERENCES = declared("tests.fedvlm_flwr.tasks.conventions", CONVENTIONS, "REFERENCES")
CASES = [(name, task) for name, tasks in REFERENCES.items() for task in tasks]


def test_an_unknown_one_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=f"Unknown convention 'vqa'.*{', '.join(CONVENTIONS)}"):
        load_convention("vqa")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_task_of_it_has_references_in_its_test(name: str) -> None:
    assert set(task_names()) >= load_convention(name).TASKS == set(REFERENCES[name])


@pytest.mark.parametrize(("name", "task"), CASES)
class TestEveryConvention:
    def test_the_references_are_right_and_silence_is_wrong(self, name: str, task: str) -> None:
        convention, truth = load_convention(name), REFERENCES[name][task]
        perfect = convention.score(task, truth, truth)
        empty = convention.score(task, [""] * 3, truth)
        assert perfect
        for metric, value in perfect.items():
            assert type(value) is float and math.isfinite(value)
            assert value > 0.5, metric
            assert empty.get(metric, 0.0) == pytest.approx(0, abs=1e-6), metric

    def test_scores_are_the_means_of_the_examples(self, name: str, task: str) -> None:
        convention, truth = load_convention(name), REFERENCES[name][task]
        said = [truth[0], truth[2], ""]
        scores, values = (of(task, said, truth) for of in (convention.score, convention.each))
        for metric, column in values.items():
            assert len(column) == 3
            assert scores[metric] == pytest.approx(sum(column) / 3)

    def test_empty_and_uneven_input_is_refused(self, name: str, task: str) -> None:
        convention = load_convention(name)
        for call in (convention.score, convention.each):
            with pytest.raises(DataError, match="0 references"):
                call(task, [], [])
            with pytest.raises(DataError, match="2 predictions for 3 references"):
                call(task, ["a", "b"], REFERENCES[name][task])
