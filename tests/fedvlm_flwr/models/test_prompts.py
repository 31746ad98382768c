"""What gives way in an over-long example: the question's beginning, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.errors import ConfigError, DataError, ModelError
from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer
from fedvlm_flwr.models.prompts import PromptEncoder, Template

WORDS = ["one", "two", "three", "four", "five", "six", "look", "USER", "ASSISTANT", "yes", "no"]
TOKENIZER = word_tokenizer(WORDS)
TEMPLATE = Template("look. USER: <image>\n{question} ASSISTANT:")
AROUND = len(TOKENIZER(TEMPLATE.prompt(""))["input_ids"])
END = TOKENIZER.eos_token_id


def encoder(most: int) -> PromptEncoder:
    return PromptEncoder(TOKENIZER, END, most, ("<image>",))


def text(ids) -> str:
    return TOKENIZER.decode(ids)


def test_a_question_that_fits_is_left_alone():
    found = encoder(AROUND + 6)
    row = found.encode(TEMPLATE, "one two three four", "yes")
    assert text(row.prompt_ids).endswith("one two three four ASSISTANT:")
    assert text(row.answer_ids[:-1]) == "yes"
    assert row.answer_ids[-1] == END
    assert found.cut == 0


def test_a_long_question_loses_its_beginning_and_is_counted_once():
    found = encoder(AROUND + 4)
    for _ in range(2):
        row = found.encode(TEMPLATE, "one two three four five six", "yes")
        assert len(row.prompt_ids) + len(row.answer_ids) == AROUND + 4
        assert "five six ASSISTANT:" in text(row.prompt_ids)
        assert "one" not in text(row.prompt_ids)
        assert text(row.answer_ids[:-1]) == "yes"
    assert found.cut == 1
    asked = found.encode(TEMPLATE, "one two three four five six")
    assert len(asked.prompt_ids) == AROUND + 4
    assert found.cut == 1


def test_an_answer_is_never_cut():
    with pytest.raises(DataError, match="max_text_tokens is 10"):
        encoder(10).encode(TEMPLATE, "one", "yes no yes no yes no yes no yes no")


@settings(max_examples=60, deadline=None)
@given(
    question=st.lists(st.sampled_from(WORDS[:6]), max_size=30).map(" ".join),
    answer=st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=4).map(" ".join),
    room=st.integers(0, 40),
)
def test_whatever_comes_the_image_and_the_answer_stay_whole(question, answer, room):
    most = AROUND + 5 + room
    row = encoder(most).encode(TEMPLATE, question, answer)
    assert len(row.prompt_ids) + len(row.answer_ids) <= most
    assert row.prompt_ids.count(TOKENIZER.get_vocab()["<image>"]) == 1
    assert text(row.answer_ids[:-1]) == answer
    kept = text(row.prompt_ids).partition("\n")[2].removesuffix("ASSISTANT:").strip()
    assert question.endswith(kept)


def test_an_image_mark_in_a_question_or_answer_is_no_picture():
    row = encoder(99).encode(TEMPLATE, "one <image> two", "yes <image>")
    ids = (*row.prompt_ids, *row.answer_ids)
    assert ids.count(TOKENIZER.get_vocab()["<image>"]) == 1


def test_a_template_without_a_place_for_the_question_is_refused():
    with pytest.raises(ConfigError, match="once"):
        Template("no place for it")


class Backwards(Template):
    """A wording in which the prompt is no beginning of the whole."""

    def with_answer(self, question: str, answer: str) -> str:
        return f"{answer} {self.prompt(question)}"


def test_a_prompt_that_does_not_stay_as_it_was_is_refused():
    with pytest.raises(ModelError, match="joins the end"):
        encoder(99).encode(Backwards("{question} look"), "one", "yes")
