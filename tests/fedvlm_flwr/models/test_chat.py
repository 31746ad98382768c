"""What a chat template writes around a question and its answer."""

import pytest

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.chat import Turn, first_mark, turn_of
from fedvlm_flwr.models.prompts import PromptEncoder
from tests import hf_tiny

HEAD = "{% for m in messages %}{% for c in m['content'] %}"
IMAGE = "{% if c['type'] == 'image' %}<image>{% else %}"
REST = "{% endif %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer():
    return hf_tiny.words(hf_tiny.llava_kind())


def test_template_becomes_the_text_around_question_and_answer(tokenizer):
    template = f"Look. {HEAD}{IMAGE} [{{{{ c['text'] }}}}]{{{{ eos_token }}}}\n{REST}"
    assert turn_of(tokenizer, template, "any") == Turn(
        before="Look. <image> [",
        after="]</s>\n",
        lead=" [",
        closing="]",
        end="</s>",
        earlier=("]</s>\n [", "]</s>\n ["),
    )


def test_without_an_end_of_turn_nothing_closes_the_answer(tokenizer):
    template = f"{HEAD}{IMAGE}{{{{ c['text'] }}}} {REST}"
    turn = turn_of(tokenizer, template, "any")
    assert (turn.closing, turn.end) == ("", None)


def test_answer_follows_the_prompt_when_the_template_writes_it_otherwise_in_the_past(tokenizer):
    template = (
        f"{HEAD}{IMAGE}{{{{ m['role'] }}}}: {{{{ c['text'] }}}}</s>{REST}"
        "{% if add_generation_prompt %}assistant>{% endif %}"
    )
    turn = turn_of(tokenizer, template, "any")
    assert turn.prompt("red?") == "<image>user: red?</s>assistant>"
    assert turn.with_answer("red?", "yes") == "<image>user: red?</s>assistant>yes"
    assert turn.end == "</s>"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("no question at all", r"\{question\} 0 times"),
        (f"{HEAD}{IMAGE}{{{{ c['text'] + c['text'] }}}}{REST}", r"\{question\} 2 times"),
        ("<image>{{ messages[0]['content'][1]['text'] }}", r"\{answer\} 0 times"),
    ],
)
def test_question_and_answer_must_be_written_once(tokenizer, template, words):
    with pytest.raises(ModelError, match=words):
        turn_of(tokenizer, template, "any")


def test_the_first_mark_counts_and_the_longer_one_of_two():
    assert first_mark(" done<end><s>", {"<s>", "<end>"}) == (" done", "<end>")
    assert first_mark("<end>>", {"<end>", "<end>>"}) == ("", "<end>>")
    assert first_mark("done", {"<end>"}) == ("", None)


@pytest.mark.parametrize("marks", [True, False])
def test_encoder_leaves_the_tokenizers_own_marks_out_on_demand(tokenizer, marks):
    encoder = PromptEncoder(tokenizer, tokenizer.eos_token_id, 100, (), marks=marks)
    encoded = encoder.encode(Turn("<image>", " said:", lead=" "), "is it red?", "yes")
    assert encoded.prompt_ids.count(tokenizer.bos_token_id) == int(marks)
    assert encoded.answer_ids == (
        *tokenizer(" yes", add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    )


EARLIER = (("is it red?", "no"), ("is it blue?", "yes"))


def test_earlier_turns_are_written_as_the_template_writes_them(tokenizer):
    template = f"Look. {HEAD}{IMAGE} [{{{{ c['text'] }}}}]{{{{ eos_token }}}}\n{REST}"
    turn = turn_of(tokenizer, template, "any")
    parts = [[{"type": "image"}, {"type": "text", "text": "is it red?"}]]
    parts += [[{"type": "text", "text": text}] for text in ("no", "is it blue?", "yes", "which?")]
    talk = [
        {"role": ("user", "assistant")[i % 2], "content": content}
        for i, content in enumerate(parts)
    ]
    text = tokenizer.apply_chat_template(talk, chat_template=template, tokenize=False)
    assert turn.prompt("which?", EARLIER) == text


@pytest.mark.parametrize(
    "template",
    [
        f"{{{{ 'Again. ' if messages|length > 2 }}}}{HEAD}{IMAGE} {{{{ c['text'] }}}}{REST}",
        f"{{{{ raise_exception('one') if messages|length > 2 }}}}{HEAD}{IMAGE} "
        f"{{{{ c['text'] }}}}{REST}",
    ],
    ids=["another beginning", "one question only"],
)
def test_a_template_without_a_form_for_earlier_turns_takes_one_question(tokenizer, template):
    turn = turn_of(tokenizer, template, "any")
    assert turn.prompt("which?").endswith("which?")
    with pytest.raises(ModelError, match=r"no form for the earlier .*dataset\.turns=first"):
        turn.prompt("which?", EARLIER)
