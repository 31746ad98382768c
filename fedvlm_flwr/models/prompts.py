"""Prompts as token ids: what is asked, what is learnt, and what gives way when it is too long."""

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.errors import ConfigError, DataError, ModelError
from fedvlm_flwr.models.marks import MarkedText
from fedvlm_flwr.models.vlm import Encoded

QUESTION = "{question}"


class Wording(Protocol):
    """What stands around question and answer."""

    def __hash__(self) -> int:
        """Equal ones give equal prompts, which are remembered."""

    def prompt(self, question: str) -> str:
        """Everything before the answer."""

    def with_answer(self, question: str, answer: str) -> str:
        """The prompt and the answer, without what ends it."""


@dataclass(frozen=True)
class Template:
    """A prompt as text with `{question}` in it; the answer follows after one space.

    Raises:
        ConfigError: it does not hold `{question}` exactly once.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.count(QUESTION) != 1:
            raise ConfigError(f"The prompt template {self.text!r} must hold {QUESTION} once.")

    def prompt(self, question: str) -> str:
        """The template with the question in its place."""
        return self.text.replace(QUESTION, question)

    def with_answer(self, question: str, answer: str) -> str:
        """... and the answer after it."""
        return f"{self.prompt(question)} {answer}"


class PromptEncoder:
    """Turns questions and answers into token ids.

    Special tokens are those of the wording; in a question or an answer they are text.

    Args:
        tokenizer: a fast one.
        end_id: the token that ends an answer.
        most: tokens that prompt text and answer may take together; the picture's tokens come on
            top. A longer question loses its beginning; what stands around it and the answer are
            never cut.
        reserved: marks of the wording that the tokenizer may not call special (the image mark).
        marks: whether the tokenizer adds its own first or last token to a text; not where the
            wording has them already.

    Raises:
        ModelError: the tokenizer is a slow one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        end_id: int,
        most: int,
        reserved: tuple[str, ...] = (),
        *,
        marks: bool = True,
    ) -> None:
        self._text = MarkedText(tokenizer, reserved)
        self._end_id = end_id
        self._most = most
        self._marks = marks
        self._slots = tuple(f"x{secrets.token_hex(12)}x" for _ in range(2))
        self._cut: set[str] = set()
        self._frames = lru_cache(maxsize=64)(self._frame)
        self._fitted = lru_cache(maxsize=8192)(self._fit)

    @property
    def cut(self) -> int:
        """Distinct questions that were cut so far."""
        return len(self._cut)

    def encode(self, wording: Wording, question: str, answer: str | None = None) -> Encoded:
        """Ids of the prompt, and of the answer with its end token.

        Raises:
            DataError: wording and answer alone are longer than allowed.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning.
        """
        whole = self._text.speakable(question).strip()
        cut, prompt = self._fitted(wording, whole, 0)
        if answer is None:
            return Encoded(prompt)
        answer_ids = self._answer_ids(wording, cut, prompt, answer)
        if len(prompt) + len(answer_ids) > self._most:
            cut, prompt = self._fitted(wording, whole, len(answer_ids))
            answer_ids = self._answer_ids(wording, cut, prompt, answer)
        return Encoded(prompt, answer_ids)

    def length(self, answer: str) -> int:
        """The tokens of an answer by itself, with the one that ends it, however many they are."""
        return len(self._text.encode(self._text.speakable(answer).strip(), first=False)) + 1

    def _answer_ids(
        self, wording: Wording, question: str, prompt: tuple[int, ...], answer: str
    ) -> tuple[int, ...]:
        _, (before, between, after) = self._frames(wording)
        text = self._text.speakable(answer).strip()
        whole = self._ids(f"{before}{question}{between}{text}{after}")
        if whole[: len(prompt)] != prompt:
            raise ModelError(
                f"The tokenizer joins the end of the prompt {wording.prompt(QUESTION)!r} with the "
                "answer; end the template with a colon or another mark that stays a token."
            )
        return (*whole[len(prompt) :], self._end_id)

    def _frame(self, wording: Wording) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What stands around a question, and around a question and its answer, marks named."""
        question, answer = self._slots
        prompt = self._text.marked(wording.prompt(question))
        whole = self._text.marked(wording.with_answer(question, answer))
        return tuple(prompt.split(question)), tuple(re.split(f"{question}|{answer}", whole))

    def _ids(self, text: str) -> tuple[int, ...]:
        return self._text.encode(text, first=self._marks)

    def _fit(self, wording: Wording, whole: str, room: int) -> tuple[str, tuple[int, ...]]:
        """The question, cut on the left until the prompt leaves `room`, and the prompt's ids."""
        (before, after), _ = self._frames(wording)
        question = whole
        while (over := len(ids := self._ids(f"{before}{question}{after}")) + room - self._most) > 0:
            if not question:
                raise DataError(
                    f"What stands around a question and its answer take {len(ids) + room} tokens "
                    f"and model.max_text_tokens is {self._most}; raise it (no answer is cut)."
                )
            question = question[self._start(question, over) :].lstrip()
        if question != whole:
            self._cut.add(whole)
        return question, ids

    def _start(self, question: str, over: int) -> int:
        """Where the question goes on when its first `over` tokens are gone, at least 1 character.

        Tokens differ in another surrounding, so the caller counts again.
        """
        starts = [*self._text.starts(question), len(question)]
        return max(1, starts[min(over, len(starts) - 1)])
