"""What a model has no words, or no room, for."""

from pathlib import Path

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.vocabulary import (
    answer_lengths,
    unknown_words,
    untrainable,
    usual_length,
)


def test_words_without_a_token_are_counted_by_name(model: Llava) -> None:
    words = unknown_words(model, ["where is the pneumothorax?", "a blue pneumothorax, a mass"])
    assert words.unknown == {"pneumothorax": 2, "mass": 1}
    assert words.count == 9
    assert words.share == 3 / 9


def test_a_model_that_spells_any_text_knows_all(model: Llava) -> None:
    model.unknown_id = None
    assert unknown_words(model, ["where is the pneumothorax?"]).share == 0


def test_lengths_are_those_that_are_taught(model: Llava) -> None:
    answers = ["a blue rectangle", "a red shape", "a", "a blue rectangle"]
    taught = [len(model.encode("where is the shape?", answer).answer_ids) for answer in answers]
    assert answer_lengths(model, answers) == taught == [4, 4, 2, 4]


def test_the_usual_length_is_exceeded_by_one_in_two_hundred() -> None:
    assert usual_length([3] * 199 + [90]) == 3
    assert usual_length([3] * 198 + [80, 90]) == 80
    assert usual_length([7]) == 7


def test_an_answer_without_room_is_found(model: Llava) -> None:
    examples = [
        Example(name, Path("a.png"), "where is the shape?", "a red shape " * count, "captioning")
        for name, count in (("short", 1), ("long", 60))
    ]
    assert [example.id for example in untrainable(model, examples)] == ["long"]
