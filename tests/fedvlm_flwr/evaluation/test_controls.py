"""What is known to a model that does not look at the pictures."""

from pathlib import Path

import pytest

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.evaluation.controls import question_majority_scores, with_shuffled_images

BEFORE = (("is it a lung?", "yes"),)
OTHER = (("is it a heart?", "yes"),)


def example(question: str, answer: str, history=(), *pictures: str) -> Example:
    images = tuple(map(Path, pictures))
    return Example("x", images, question, answer, "vqa", history=history)


def test_a_reader_of_questions_reads_the_turns_before_them_too():
    """Which organ "which one?" is about stands in the turn before it."""
    training = [
        *[example("which one?", "left lung", BEFORE)] * 2,
        *[example("which one?", "heart", OTHER)] * 3,
        *[example("what?", "blue")] * 9,
    ]
    asked = [
        example("which one?", "left lung", BEFORE),
        example("which one?", "heart", OTHER),
        example("which one?", "heart", (("is it new?", "yes"),)),  # to the question alone
        example("why?", "blue", BEFORE),  # of the whole task
    ]
    scores = question_majority_scores({"vqa": asked}, {"vqa": training})
    assert scores["vqa"]["accuracy"] == 1
    scores = question_majority_scores({"vqa": asked[:1]}, {"vqa": training[2:]})
    assert scores["vqa"]["accuracy"] == 0


def test_pictures_are_exchanged_among_records_of_as_many():
    examples = [example(f"{i}?", "a", (), f"{i}.png") for i in range(5)]
    examples += [example(f"{i}?", "a", (), f"{i}.png", f"{i + 1}.png") for i in range(5)]
    examples += [example("text?", "a")]
    shuffled = with_shuffled_images(examples, seed=3)
    assert [len(one.images) for one in shuffled] == [len(one.images) for one in examples]
    assert [one.question for one in shuffled] == [one.question for one in examples]
    pairs = list(zip(examples, shuffled, strict=True))
    assert all(a.images != b.images for a, b in pairs[:-1])
    assert pairs[-1][0] == pairs[-1][1]
    assert {one.images for one in shuffled} == {one.images for one in examples}
    alone = with_shuffled_images(examples[:5], seed=3)  # others in the set change nothing
    assert [one.images for one in alone] == [one.images for one in shuffled[:5]]


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_set_of_pictures_stays(count):
    one = example("what?", "a", (), *("a.png", "b.png")[:count])
    assert with_shuffled_images([one, one], seed=0) == [one, one]
