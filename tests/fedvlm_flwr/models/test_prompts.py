"""What gives way in an over-long example: the question's beginning, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.errors import ConfigError, DataError, ModelError
from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer
from fedvlm_flwr.models.prompts import PromptEncoder, Template
from fedvlm_flwr.models.vlm import History

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

    def with_answer(self, question: str, answer: str, history: History = ()) -> str:
        return f"{answer} {self.prompt(question, history)}"


def test_a_prompt_that_does_not_stay_as_it_was_is_refused():
    with pytest.raises(ModelError, match="joins the end"):
        encoder(99).encode(Backwards("{question} look"), "one", "yes")


# -- conversations -------------------------------------------------------------------------------

TALK = Template(TEMPLATE.text, "</s>USER: {question} ASSISTANT:")
EARLIER = (("one two", "yes"), ("three", "no"))


def test_earlier_turns_stand_in_the_prompt_and_only_the_last_answer_is_learnt():
    row = encoder(99).encode(TALK, "four", "yes no", EARLIER)
    whole = (
        "look. USER: <image>\none two ASSISTANT: yes</s>USER: three ASSISTANT: no</s>"
        "USER: four ASSISTANT: yes no</s>"
    )
    assert [*row.prompt_ids, *row.answer_ids] == TOKENIZER(whole)["input_ids"]
    assert text(row.answer_ids) == text(TOKENIZER("yes no</s>", add_special_tokens=False).input_ids)


def test_marks_in_earlier_turns_are_text():
    row = encoder(99).encode(TALK, "four", None, (("one <image> </s>", "yes </s> <image>"),))
    assert row.prompt_ids.count(TOKENIZER.get_vocab()["<image>"]) == 1
    assert row.prompt_ids.count(END) == 1


def test_the_oldest_turns_go_before_the_question_and_are_counted():
    length = len(encoder(99).encode(TALK, "four five", "yes", EARLIER[1:]).prompt_ids) + 2
    narrow = encoder(length)
    row = narrow.encode(TALK, "four five", "yes", EARLIER)
    assert row == encoder(99).encode(TALK, "four five", "yes", EARLIER[1:])
    assert narrow.cut == 1
    narrow = encoder(AROUND + 3)
    row = narrow.encode(TALK, "four five", "yes", EARLIER)
    assert "five ASSISTANT:" in text(row.prompt_ids)
    assert not {"one", "three", "four"} & set(text(row.prompt_ids).split())


@settings(max_examples=40, deadline=None)
@given(
    talk=st.lists(st.lists(st.sampled_from(WORDS[:6]), min_size=1, max_size=4).map(" ".join)),
    room=st.integers(0, 40),
)
def test_whatever_is_cut_of_a_conversation_the_rest_is_one(talk, room):
    history = tuple((words, "yes") for words in talk)
    row = encoder(AROUND + 6 + room).encode(TALK, "six", "no", history)
    assert len(row.prompt_ids) + len(row.answer_ids) <= AROUND + 6 + room
    assert any(
        row == encoder(9999).encode(TALK, "six", "no", history[first:])
        for first in range(len(history) + 1)
    )


def test_a_template_for_one_question_names_what_is_to_be_set():
    with pytest.raises(ModelError, match=r"model\.follow_up .* dataset\.turns=first"):
        encoder(99).encode(TEMPLATE, "four", None, EARLIER)
    with pytest.raises(ConfigError, match="once"):
        Template(TEMPLATE.text, "no place for it")


# -- answers that do not fit ---------------------------------------------------------------------


def test_a_long_answer_is_cut_where_that_is_said_and_the_question_is_not():
    answer = "yes no " * 20
    row = encoder(AROUND + 12).encode(TEMPLATE, "one two", answer, cut_answer=True)
    assert "one two ASSISTANT:" in text(row.prompt_ids)
    assert text(row.answer_ids).split() == answer.split()[:10]
    assert END not in row.answer_ids  # the answer went on
    row = encoder(AROUND + 12).encode(TEMPLATE, "one two " * 20, answer, cut_answer=True)
    assert len(row.prompt_ids) + len(row.answer_ids) == AROUND + 12
    assert len(row.answer_ids) == (AROUND + 12) // 2
    with pytest.raises(DataError, match=r"dataset\.long_answers=cut"):
        encoder(AROUND + 12).encode(TEMPLATE, "one two", answer)


def test_an_answer_that_fits_is_whole_whatever_is_said():
    whole = encoder(AROUND + 4)
    assert whole.encode(TEMPLATE, "one two three", "yes no", cut_answer=True) == whole.encode(
        TEMPLATE, "one two three", "yes no"
    )
