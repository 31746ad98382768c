"""A tokenizer in which a prompt's own marks are tokens and a user's text is text.

A mark (the end of a turn, a picture's place, the first token of a text) is a token where the prompt
has it. The same letters in a question or an answer are letters: they would end the turn in the
middle, or add a place without a picture.
"""

import re
import secrets
from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.errors import ModelError


def specials(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The tokenizer's special tokens, those without a name included."""
    added = tokenizer.added_tokens_decoder.values()
    return {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}


class MarkedText:
    """Encodes texts in which marks stand under names that nobody else can write.

    It works on a copy of the tokenizer that takes special tokens for text
    (`split_special_tokens`). In the copy each mark has a random name, with all that the tokenizer
    says of the mark itself (whether it takes the spaces beside it, ...), so that what stands
    between marks is split as it ever was.

    Args:
        tokenizer: a fast one.
        reserved: further marks, whether the tokenizer calls them special or not.

    Raises:
        ModelError: the tokenizer is a slow one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, reserved: Iterable[str] = ()) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                f"The tokenizer {type(tokenizer).__name__} is a slow one, which cannot tell where "
                "its tokens come from; use its fast form."
            )
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        vocabulary = tokenizer.get_vocab()
        marks = [mark for mark in sorted({*specials(tokenizer), *reserved}) if mark in vocabulary]
        names = {mark: f"x{secrets.token_hex(12)}x" for mark in marks}
        self._names = names
        self._pattern = one_of(marks)
        self._copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._copy.no_truncation()
        self._copy.no_padding()
        self._copy.add_special_tokens(
            [_like(added[mark], mark, special=True) for mark in marks if mark in added]
        )
        self._copy.add_tokens(
            [_like(added.get(mark), names[mark], special=False) for mark in marks]
        )
        self._copy.encode_special_tokens = True
        self._ids = {self._copy.token_to_id(names[mark]): vocabulary[mark] for mark in marks}
        # A tokenizer of whole words may have a mark among them; such letters cannot be written.
        whole = {vocabulary[mark] for mark in marks} - {tokenizer.unk_token_id}
        self._unspeakable = one_of(
            mark for mark in marks if whole & set(self.encode(mark, first=False))
        )

    def marked(self, text: str) -> str:
        """A prompt's own text with its marks under their names; whatever else stands in it."""
        return self._pattern.sub(lambda match: self._names[match[0]], text)

    def speakable(self, text: str) -> str:
        """A user's text without marks that the tokenizer can write as marks only."""
        return self._unspeakable.sub(" ", text)

    def encode(self, text: str, *, first: bool) -> tuple[int, ...]:
        """Token ids of a text.

        Args:
            text: with marks as `marked` writes them.
            first: whether the tokenizer adds its own first or last token.
        """
        ids = self._copy.encode(text, add_special_tokens=first).ids
        return tuple(self._ids.get(token, token) for token in ids)

    def starts(self, text: str) -> list[int]:
        """Where in a user's text each of its tokens begins."""
        return [start for start, _ in self._copy.encode(text, add_special_tokens=False).offsets]


def one_of(marks: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the marks, the longest where several begin; nothing where there are none."""
    longest = sorted(marks, key=lambda mark: (-len(mark), mark))
    return re.compile("|".join(map(re.escape, longest)) or r"(?!)")


def _like(token: AddedToken | None, content: str, *, special: bool) -> AddedToken:
    """A token that is found in a text as another one is."""
    if token is None:
        return AddedToken(content, normalized=False, special=special)
    return AddedToken(
        content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=special,
    )
