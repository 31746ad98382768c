"""Words to ids and back."""

import pytest

from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer

TEXTS = ["a blue rectangle", "is there not a red shape?", "USER: ASSISTANT:", "yes"]


@pytest.mark.parametrize(
    "text",
    [
        "[0.31, 0.20, 0.45, 0.45]",
        "[0.00, 1.00, 0.05, 0.99]",
        "a blue rectangle",
        "is there not a red shape?",
        "yes",
        "USER: yes",
    ],
)
def test_round_trip(text):
    tokenizer = word_tokenizer(TEXTS)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_a_fraction_and_the_image_are_one_token_each():
    tokenizer = word_tokenizer(TEXTS)
    ids = tokenizer("0.31 <image>\n0.20")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "0.31", "<image>", "\n", "0.20"]


def test_vocabulary_does_not_depend_on_the_order_of_texts():
    assert word_tokenizer(TEXTS).get_vocab() == word_tokenizer(TEXTS[::-1]).get_vocab()


def test_saved_and_read_again_it_is_the_same(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = word_tokenizer(TEXTS)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "USER: <image>\nis there a blue shape? [0.31, 0.20]"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.decode(again(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])
    assert again.eos_token_id == tokenizer.eos_token_id
