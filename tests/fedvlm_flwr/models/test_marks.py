"""Special tokens are the prompt's; the same letters in a user's text are text."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.marks import MarkedText, specials
from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer
from tests.hf_tiny import FAMILIES, KINDS, words
from tests.llava_sources import tokenizer as llama_tokenizer

NAMES = (*FAMILIES, "llama", "words")


@cache
def made(name: str) -> tuple[PreTrainedTokenizerFast, MarkedText]:
    if name == "words":
        tokenizer = word_tokenizer(["is it red? yes no. USER: ASSISTANT:"])
    else:
        tokenizer = llama_tokenizer() if name == "llama" else words(KINDS[name]())
    return tokenizer, MarkedText(tokenizer)


@pytest.mark.parametrize("name", NAMES)
def test_as_transformers_splits_special_tokens(name):
    """Its own `split_special_tokens`, with every special token of every tokenizer in the text."""
    tokenizer, text = made(name)
    marks = sorted(specials(tokenizer))
    assert marks
    for mark in marks:
        said = f"is it{mark}red? {mark}"
        plain = tokenizer(said, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids = text.encode(text.speakable(said), first=False)
        assert list(ids) == plain
        assert not set(ids) & (
            set(tokenizer.convert_tokens_to_ids(marks)) - {tokenizer.unk_token_id}
        )
        assert tokenizer.convert_tokens_to_ids(mark) in tokenizer(said)["input_ids"]


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_prompts_own_marks_are_where_they_were(data):
    """Prompts without marks in the user's text have the ids that they always had."""
    tokenizer, text = made(data.draw(st.sampled_from(NAMES)))
    piece = st.sampled_from([*sorted(specials(tokenizer)), "is it", " red", "\n", "\n\n", " ", "?"])
    prompt = "".join(data.draw(st.lists(piece, max_size=8)))
    for first in (True, False):
        whole = tokenizer(prompt, add_special_tokens=first)["input_ids"]
        assert list(text.encode(text.marked(prompt), first=first)) == whole


def test_a_mark_that_takes_the_spaces_beside_it_does_so_still():
    tokenizer = words(KINDS["llava"]())
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [AddedToken("<wide>", lstrip=True, rstrip=True, special=True)]}
    )
    text = MarkedText(tokenizer)
    prompt = "is  <wide>  it"
    assert list(text.encode(text.marked(prompt), first=True)) == tokenizer(prompt)["input_ids"]
    assert len(text.encode(prompt, first=True)) > len(tokenizer(prompt)["input_ids"])


def test_a_mark_that_is_no_special_token_can_be_reserved():
    tokenizer = words(KINDS["llava"]())
    tokenizer.add_tokens(["<picture>"])
    place = tokenizer.convert_tokens_to_ids("<picture>")
    said = "a <picture> here"
    assert place in MarkedText(tokenizer).encode(said, first=False)
    text = MarkedText(tokenizer, ["<picture>"])
    assert place not in text.encode(said, first=False)
    assert text.encode(text.marked(said), first=False).count(place) == 1


def test_letters_that_a_tokenizer_can_only_write_as_a_mark_are_left_out():
    inner = Tokenizer(models.WordLevel({"<end>": 0, "yes": 1, "<unk>": 2}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = MarkedText(PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>"))
    assert text.encode(text.speakable("yes <end> yes"), first=False) == (1, 1)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow is a slow one"):
        MarkedText(Slow())
