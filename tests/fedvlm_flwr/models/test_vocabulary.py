"""What a model has no words, or no room, for."""

from pathlib import Path

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.vocabulary import (
    answer_lengths,
    unknown_words,
    untrainable,
    usual_length,
)
from fedvlm_flwr.report.tokens import cut_answers
from server_app.shortfalls import shortfalls
from tests import forms


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
        Example(name, (Path("a.png"),), "where is the shape?", "a red shape " * count, "captioning")
        for name, count in (("short", 1), ("long", 60))
    ]
    assert [example.id for example in untrainable(model, examples)] == ["long"]
    limit = "model.max_text_tokens=64"
    (line,) = cut_answers(model, examples, 64)
    assert line.startswith(f"1 training answers do not fit {limit}")


def test_a_model_without_a_form_for_earlier_turns_is_told_before_the_rounds(
    model: Llava, tmp_path: Path
) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.talks(turns=3))
    words = {"dataset": "folder", "dataset.root": str(tmp_path), "dataset.task": "vqa"}
    config = compose({**words, "dataset.turns": "all", "dataset.allow_unknown_words": True})
    data = load_data(config.dataset)
    with pytest.raises(ModelError, match=r"model\.follow_up .*dataset\.turns=first"):
        list(shortfalls(config, model, data))
    config = compose({**words, "dataset.turns": "first", "dataset.allow_unknown_words": True})
    list(shortfalls(config, model, load_data(config.dataset)))
