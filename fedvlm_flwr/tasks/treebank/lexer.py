"""Penn Treebank tokens of a caption, without Java.

The COCO caption evaluation runs Stanford CoreNLP 3.4.1's PTBTokenizer in lower case and drops
punctuation from its tokens. In lower case a bracket is "-lrb-", which is none of the punctuation
that it drops, so that brackets stay; so do "!!" and "-----". Both is so here.
"""

from collections.abc import Iterator
from functools import lru_cache

from fedvlm_flwr.tasks.treebank.rules import ASSIMILATED, DIGITS, ENCLITIC, LETTERS, OTHERS, PLAIN

# As the tokenizer writes them.
WRITTEN = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "\u00a2": "cents",
    "\u00a3": "#",
    "\u00a5": "$",
    "\u20ac": "$",
    "\u00bc": "1/4",
    "\u00bd": "1/2",
    "\u00be": "3/4",
    "\u2153": "1/3",
    "\u2154": "2/3",
}
# Punctuation, quotes and dashes in every form.
_SIGNS = """ ' ` . ? ! , : - -- --- ---- ... ; " '' `` \u2026 &mdash; &ndash; \u2018 \u2019 \u201a
\u201b \u201c \u201d \u201e \u00ab \u00bb \u2039 \u203a \u00b4 \u2013 \u2014 \u2015 """
DROPPED = frozenset(_SIGNS.split())
STRAIGHT = str.maketrans("\u2018\u2019\u201b\u00b4", "''''")


@lru_cache(maxsize=1 << 17)
def treebank_words(caption: str) -> str:
    """The words of a caption, in lower case and separated by single spaces."""
    return " ".join(_words(caption))


def _words(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        token = _token(text, place)
        place += len(token)
        word = _written(token).lower()
        if not _is_dropped(word):
            yield word.translate(STRAIGHT) if ENCLITIC.fullmatch(word) else word


def _token(text: str, place: int) -> str:
    """The token that begins here: that of the rule that reaches farthest, of several the first."""
    plain = PLAIN.match(text, place)
    if plain and plain[0].lower() not in ASSIMILATED:
        return plain[0]
    first = text[place]
    rules = LETTERS if first.isalpha() else DIGITS if first.isdecimal() else OTHERS
    best = max((m for rule in rules if (m := rule.match(text, place))), key=lambda m: m.end())
    return best["t"]


def _written(token: str) -> str:
    if token in WRITTEN:
        return WRITTEN[token]
    return token.replace("(", "-lrb-").replace(")", "-rrb-").replace("\u00a0", " ")


def _is_dropped(word: str) -> bool:
    return word in DROPPED or set(word) == {"."}
