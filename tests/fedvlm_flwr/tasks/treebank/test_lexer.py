"""Penn Treebank tokens, as the Java tokenizer of the COCO caption evaluation writes them."""

import json
import time
from pathlib import Path

import pytest

from fedvlm_flwr.tasks.treebank.lexer import treebank_words

# Made with the jar of pycocoevalcap; "source" says how.
GOLDEN = json.loads(
    (Path(__file__).parents[3] / "golden" / "treebank.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A 4.5 % slope is < 3 mm.", "a 4.5 % slope is < 3 mm"),
        ("It cannot be: it's the dogs' tails", "it can not be it 's the dogs tails"),
        ("I can't (really) say [yes]", "i ca n't -lrb- really -rrb- say -lsb- yes -rsb-"),
        ('gonna go... now -- or, "well", won\'t!', "gon na go now or well wo n't"),
        ("x-ray T2/T1 of Mr. X, 2.5cm", "x-ray t2/t1 of mr. x 2.5 cm"),
        (" \n\t", ""),
    ],
)
def test_by_hand(text: str, words: str) -> None:
    assert treebank_words(text) == words


@pytest.mark.parametrize("text", GOLDEN["words"])
def test_as_the_java_tokenizer_has_it(text: str) -> None:
    assert treebank_words(text) == GOLDEN["words"][text]


@pytest.mark.parametrize("piece", ["a", "a,", "a-", "a'", "a@", "1,", "a/", "&", "<a", "."])
def test_any_text_is_read_in_bounded_time(piece: str) -> None:
    start = time.process_time()
    treebank_words(piece * (10_000 // len(piece)))
    assert time.process_time() - start < 5
