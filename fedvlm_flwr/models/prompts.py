"""Prompts as token ids: what is asked, what is learnt, and what gives way when it is too long."""

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.errors import ConfigError, DataError, ModelError
from fedvlm_flwr.models.marks import MarkedText
from fedvlm_flwr.models.vlm import Encoded, History

QUESTION = "{question}"
ONE_QUESTION = "set dataset.turns=first, which takes the first question of a conversation"


Talk = tuple[str, ...]  # questions and answers in turn
Shape = tuple[tuple[bool, ...], ...]  # of a talk: whether there is text around each picture's place


class Wording(Protocol):
    """What stands around question and answer."""

    def __hash__(self) -> int:
        """Equal ones give equal prompts, which are remembered."""

    def prompt(self, question: str, history: History = ()) -> str:
        """Everything before the answer; the picture stands in the first turn.

        Raises:
            ModelError: it has no form for earlier turns.
        """

    def with_answer(self, question: str, answer: str, history: History = ()) -> str:
        """The prompt and the answer, without what ends it."""


@dataclass(frozen=True)
class Template:
    """A prompt as text with `{question}` in it; the answer follows after one space.

    Attributes:
        text: around the first question.
        follow_up: around each further one, behind the answer before it; None: there is none.

    Raises:
        ConfigError: one of them does not hold `{question}` exactly once.
    """

    text: str
    follow_up: str | None = None

    def __post_init__(self) -> None:
        for text in (self.text, self.follow_up):
            if text is not None and text.count(QUESTION) != 1:
                raise ConfigError(f"The prompt template {text!r} must hold {QUESTION} once.")

    def prompt(self, question: str, history: History = ()) -> str:
        """The template with the question in its place, behind the turns before it."""
        questions = [*(earlier for earlier, _ in history), question]
        text = self.text.replace(QUESTION, questions[0])
        for (_, answer), following in zip(history, questions[1:], strict=True):
            if self.follow_up is None:
                raise ModelError(
                    f"The prompt template {self.text!r} is one for a single question; set "
                    "model.follow_up to what stands around a further one, beginning with the "
                    f"token that ends an answer, or {ONE_QUESTION}."
                )
            text = f"{text} {answer}{self.follow_up.replace(QUESTION, following)}"
        return text

    def with_answer(self, question: str, answer: str, history: History = ()) -> str:
        """... and the answer after it."""
        return f"{self.prompt(question, history)} {answer}"


@dataclass(frozen=True)
class PlacedTemplate(Template):
    """A template without a picture of its own: `<image>` in questions is one.

    Attributes:
        token: what stands for a picture in the tokenizer.
    """

    token: str = PLACE

    @classmethod
    def of(cls, text: str, follow_up: str | None, token: str) -> "PlacedTemplate":
        """The same words around a question, without the picture before it."""
        return cls(re.sub(rf"{PLACE}\s*", "", text), follow_up, token)

    def prompt(self, question: str, history: History = ()) -> str:
        """The template with the question in its place, behind the turns before it."""
        return super().prompt(question, history).replace(PLACE, self.token)


class PromptEncoder:
    """Turns questions and answers into token ids.

    Special tokens are those of the wording; in a question or an answer they are text.

    Args:
        tokenizer: a fast one.
        end_id: the token that ends an answer.
        most: tokens that prompt text and answer may take together; the picture's tokens come on
            top. A longer conversation loses its oldest turns, then the question its beginning; what
            stands around them is never cut, and the answer only where that is said.
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
        self._slot = secrets.token_hex(12)
        self._cut: set[Talk] = set()
        self._frames = lru_cache(maxsize=64)(self._frame)
        self._fitted = lru_cache(maxsize=8192)(self._fit)
        self._answers = lru_cache(maxsize=8192)(self._answer_ids)

    @property
    def cut(self) -> int:
        """Distinct questions that were cut, or lost turns before them, so far."""
        return len(self._cut)

    def encode(
        self,
        wording: Wording,
        question: str,
        answer: str | None = None,
        history: History = (),
        *,
        cut_answer: bool = False,
        pictures: int = 1,
    ) -> Encoded:
        """Ids of the prompt, and of the answer with its end token.

        Args:
            wording: what stands around them, one for so many pictures.
            question: the last one.
            answer: to it; None: it is to be answered.
            history: earlier questions and their answers.
            cut_answer: whether an answer that does not fit loses its end and its end token.
            pictures: how many are shown; of several each has its `PLACE` in the questions, and
                stays where turns or words before it go.

        Raises:
            DataError: wording and answer alone are longer than allowed.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning, or the
                wording has no form for earlier turns.
        """
        has_places = pictures > 1
        plain = self._with_places if has_places else self._plain
        texts = [text for turn in history for text in turn]
        whole = (*map(plain, texts), plain(question))
        talk, prompt = self._fitted(wording, whole, 0, has_places)
        if answer is None:
            return Encoded(prompt, (), pictures)
        answer_ids = self._answers(wording, talk, prompt, answer, has_places)
        room = len(answer_ids)
        if len(prompt) + room <= self._most:
            return Encoded(prompt, answer_ids, pictures)
        around = len(self._ids(self._joined(wording, (PLACE * pictures * has_places,), has_places)))
        too_long = around + room > self._most
        if cut_answer and too_long:  # then the question is not cut for it, beyond a half
            room = max(1, min(self._most // 2, self._most - around))
        talk, prompt = self._fitted(wording, whole, room, has_places)
        answer_ids = self._answers(wording, talk, prompt, answer, has_places)
        ids = answer_ids[: self._most - len(prompt)] if too_long else answer_ids
        return Encoded(prompt, ids, pictures)

    def plain_ids(self, text: str) -> tuple[int, ...]:
        """Ids of a prompt's own text, in which special tokens are what they are."""
        return self._text.encode(self._text.marked(text), first=False)

    def length(self, answer: str) -> int:
        """The tokens of an answer by itself, with the one that ends it, however many they are."""
        return len(self._text.encode(self._plain(answer), first=False)) + 1

    def _plain(self, text: str) -> str:
        return self._text.speakable(text).strip()

    def _with_places(self, text: str) -> str:
        """A text of which the places of pictures stay what they are."""
        return PLACE.join(self._plain(part) for part in text.split(PLACE))

    def _answer_ids(
        self, wording: Wording, talk: Talk, prompt: tuple[int, ...], answer: str, has_places: bool
    ) -> tuple[int, ...]:
        whole = self._ids(self._joined(wording, (*talk, self._plain(answer)), has_places))
        if whole[: len(prompt)] != prompt:
            raise ModelError(
                f"The tokenizer joins the end of the prompt {wording.prompt(QUESTION)!r} with the "
                "answer; end the template with a colon or another mark that stays a token."
            )
        return (*whole[len(prompt) :], self._end_id)

    def _joined(self, wording: Wording, talk: Talk, has_places: bool) -> str:
        """The wording around questions and answers in turn, marks named."""
        parts = [
            text.split(PLACE) if has_places and not i % 2 else [text] for i, text in enumerate(talk)
        ]
        shape = tuple(tuple(bool(part) or len(own) == 1 for part in own) for own in parts)
        texts = [part for own in parts for part in own if part or len(own) == 1]
        first, *frames = self._frames(wording, shape)
        return first + "".join(map(str.__add__, texts, frames))

    def _frame(self, wording: Wording, shape: Shape) -> tuple[str, ...]:
        """What stands before, between and behind the texts of such a talk, marks named."""
        slots: list[str] = []
        talk = []
        for own in shape:
            lines: list[str] = []
            for i, has_text in enumerate(own):
                lines += [PLACE] * (i > 0)
                if has_text:
                    slots.append(f"x{self._slot}n{len(slots)}x")
                    lines.append(slots[-1])
            talk.append("\n".join(lines))
        pairs = tuple(zip(talk[::2], talk[1::2], strict=False))  # without a question at the end
        if len(talk) % 2:
            text = wording.prompt(talk[-1], pairs)
        else:
            text = wording.with_answer(*pairs[-1], pairs[:-1])
        marked = self._text.marked(text)
        return tuple(re.split("|".join(slots), marked)) if slots else (marked,)

    def _ids(self, text: str) -> tuple[int, ...]:
        return self._text.encode(text, first=self._marks)

    def _fit(
        self, wording: Wording, whole: Talk, room: int, has_places: bool
    ) -> tuple[Talk, tuple[int, ...]]:
        """What is left of a talk that leaves `room`, and the prompt's ids.

        The oldest turns go first, then the question's beginning; places of pictures stay.
        """
        talk = whole
        while True:
            ids = self._ids(self._joined(wording, talk, has_places))
            over = len(ids) + room - self._most
            if over <= 0:
                break
            *earlier, question = talk
            parts = question.split(PLACE) if has_places else [question]
            first = next((i for i, part in enumerate(parts) if part), None)
            if earlier:
                places = talk[0].count(PLACE) if has_places else 0
                talk = (PLACE * places + talk[2], *talk[3:])
            elif first is not None:
                parts[first] = parts[first][self._start(parts[first], over) :].lstrip()
                talk = (PLACE.join(parts),)
            else:
                raise DataError(
                    f"What stands around a question and its answer take {len(ids) + room} tokens "
                    f"and model.max_text_tokens is {self._most}; raise it, or have long answers "
                    "cut with dataset.long_answers=cut."
                )
        if talk != whole:
            self._cut.add(whole)
        return talk, ids

    def _start(self, question: str, over: int) -> int:
        """Where the question goes on when its first `over` tokens are gone, at least 1 character.

        Tokens differ in another surrounding, so the caller counts again.
        """
        starts = [*self._text.starts(question), len(question)]
        return max(1, starts[min(over, len(starts) - 1)])
