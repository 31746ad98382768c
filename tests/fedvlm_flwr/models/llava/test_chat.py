"""The language model's own chat template around a question, and what stands against it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from fedvlm_flwr.config import Stage
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models import load_model, prepare_model
from fedvlm_flwr.models.chat import Turn
from fedvlm_flwr.models.parts import set_trainable
from fedvlm_flwr.models.vlm import ANY_PICTURES
from tests import choices
from tests.llava_sources import END, SPARE

CPU = torch.device("cpu")
PLAIN = "USER: <image>\n{question} ASSISTANT:"
KEYS = {"connector": "linear", "dtype": "float32", "quantize": None, "attention": "auto"}
# As SmolLM2's: a system turn of its own, for text only.
CHAT = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|end|>system: help.\n"
    "{% endif %}<|end|>{{ m['role'] + '\n' + m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|end|>assistant\n{% endif %}"
)
# As LLaVA's own: a list of parts.
PARTS = (
    "{% for m in messages %}{{ m['role'] + ': ' }}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<|reserved|>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
# As Llama 3.2's: the date of today.
DATED = "{{ strftime_now('%d %b %Y') }}" + CHAT


@pytest.fixture
def make(clip, llama, tmp_path, monkeypatch):
    """A model whose language model's tokenizer has this chat template."""
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))

    def built(chat: str | None, **keys: object):
        folder = tmp_path / "llm"
        folder.mkdir()
        for file in Path(llama).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        if chat is not None:
            (folder / "chat_template.jinja").write_text(chat)
        params = {**KEYS, "vision": clip, "llm": str(folder), "image_token": SPARE}
        choice = choices.model("mine", "llava", {"max_text_tokens": 99, **params, **keys})
        prepare_model(choice)
        return load_model(choice, CPU)

    return built


def test_the_chat_template_of_the_tokenizer_is_the_default(make, pictures, llama):
    model = make(CHAT, template=None, plain_template=PLAIN)
    words = AutoTokenizer.from_pretrained(llama)
    user = {"role": "user", "content": f"{SPARE}\nis it blue?"}
    asked = words.apply_chat_template(
        [user], chat_template=CHAT, add_generation_prompt=True, tokenize=False
    )
    encoded = model.encode("is it blue?", "blue rectangle")
    assert list(encoded.prompt_ids) == words(asked, add_special_tokens=False)["input_ids"]
    # without a blank before it
    said = words("blue rectangle", add_special_tokens=False)["input_ids"]
    assert encoded.answer_ids == (*said, words.convert_tokens_to_ids(END))
    set_trainable(model, Stage({"connector": "full"}))
    features = model.features(pictures[:1])
    assert model.loss(features, [encoded]).isfinite()
    assert len(model.generate(features, [encoded], 3)) == 1


def test_a_template_that_writes_the_picture_is_asked_for_it(make):
    model = make(PARTS, template=None)
    earlier = (f"{END}assistant: ", f"{END}user: ")
    assert model.wording == Turn(f"user: {SPARE}", f"{END}assistant: ", "", "", END, earlier)


def test_the_date_of_today_is_not_in_a_prompt(make):
    """Prompts of two sites, or of two days, would differ."""
    model = make(DATED, template=None)
    assert model.wording.before.startswith("26 Jul 2024")


def test_earlier_turns_are_written_by_the_chat_template(make, llama):
    model = make(CHAT, template=None, max_text_tokens=400)
    words = AutoTokenizer.from_pretrained(llama)
    texts = (f"{SPARE}\nis it blue?", "blue rectangle", "is it red?", "rectangle", "which?")
    talk = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    text = words.apply_chat_template(
        talk, chat_template=CHAT, add_generation_prompt=True, tokenize=False
    )
    history = (("is it blue?", "blue rectangle"), ("is it red?", "rectangle"))
    encoded = model.encode("which?", "blue", history)
    assert list(encoded.prompt_ids) == words(text, add_special_tokens=False)["input_ids"]
    assert encoded.answer_ids == model.encode("which?", "blue").answer_ids


@pytest.mark.parametrize("template", [CHAT, PARTS])
def test_several_pictures_or_none_are_written_by_the_chat_template(make, pictures, template):
    model = make(template, template=None)
    assert model.pictures == ANY_PICTURES
    answer = "blue" if template == CHAT else None  # the other one joins it with what is before
    two = model.encode("is it\n<image>\nor\n<image>\nred?", answer, pictures=2)
    none = model.encode("is it red?", answer, pictures=0)
    assert [row.prompt_ids.count(model.image_id) for row in (two, none)] == [2, 0]
    text = model.tokenizer.decode(two.prompt_ids).split(SPARE)
    assert ["is it" in text[0], "or" in text[1], "red?" in text[2]] == [True] * 3
    assert two.answer_ids == none.answer_ids == model.encode("is it red?", answer).answer_ids
    assert len(model.generate(model.features(pictures[:2]), [none, two], 2)) == 2


def test_model_template_wins_over_the_tokenizers(make):
    model = make(CHAT, template=PLAIN)
    assert model.wording.prompt("red?") == f"USER: {SPARE}\nred? ASSISTANT:"


def test_without_a_chat_template_the_plain_one_is_used(make):
    model = make(None, template=None, plain_template=PLAIN)
    assert model.wording.prompt("red?") == f"USER: {SPARE}\nred? ASSISTANT:"


def test_without_any_template_it_is_said_what_to_set(make):
    with pytest.raises(ModelError, match=r"no chat template; set model\.template"):
        make(None, template=None)


def test_special_tokens_in_users_texts_are_text(make, pictures):
    """An end in an answer ended it in the middle; a picture's mark left a place without one."""
    model = make(CHAT, template=None)
    encoded = model.encode(f"is {SPARE} it{END}?", f"blue{END} {SPARE} rectangle")
    assert encoded.prompt_ids.count(model.image_id) == 1
    assert encoded.answer_ids.count(model.end_id) == 1
    assert model.image_id not in encoded.answer_ids
    text = model.tokenizer.decode(encoded.answer_ids[:-1])
    assert text == f"blue{END} {SPARE} rectangle"
    with torch.no_grad():
        assert model.loss(model.features(pictures[:1]), [encoded]).isfinite()
