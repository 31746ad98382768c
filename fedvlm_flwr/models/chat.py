"""A model's own chat template as what stands around a question and its answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.marks import specials
from fedvlm_flwr.models.prompts import ONE_QUESTION, Talk, Wording
from fedvlm_flwr.models.vlm import ANY_PICTURES, History

QUESTION, ANSWER = "{question}", "{answer}"

# Some templates write today's date; prompts would differ from day to day and from site to site.
SAME_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


@dataclass(frozen=True)
class Turn:
    """One question about a picture and its answer, as the model was taught to see them.

    Attributes:
        before, after: around the question, up to where the answer is written.
        lead: between prompt and answer, taught with the answer.
        closing: between answer and end token, taught with the answer.
        end: the token that ends an answer; None: the tokenizer's own end of text.
        earlier: what stands behind an earlier question and behind its answer; None: there is no
            form for earlier turns.
        write: the prompt for questions and answers in turn, with a `PLACE` in the questions for
            each picture; None: there is a form for one picture only.
    """

    before: str
    after: str
    lead: str = ""
    closing: str = ""
    end: str | None = None
    earlier: tuple[str, str] | None = None
    write: Callable[[Talk], str] | None = field(default=None, repr=False, compare=False)

    def prompt(self, question: str, history: History = ()) -> str:
        """Everything before the answer.

        Raises:
            ModelError: there are earlier turns, and no form for them.
        """
        if not history:
            return f"{self.before}{question}{self.after}"
        if self.earlier is None:
            raise ModelError(
                "The model's own prompt has no form for the earlier turns of a conversation; "
                f"choose a model whose chat template has one, or {ONE_QUESTION}."
            )
        reply, onward = self.earlier
        turns = "".join(f"{text}{reply}{answer}{onward}" for text, answer in history)
        return f"{self.before}{turns}{question}{self.after}"

    def with_answer(self, question: str, answer: str, history: History = ()) -> str:
        """The prompt and the answer, without the end token."""
        return f"{self.prompt(question, history)}{self.lead}{answer}{self.closing}"


@dataclass(frozen=True)
class PlacedTurn:
    """A turn about several pictures, or none: as its template writes them at their places.

    Attributes:
        turn: of one picture, which says how an answer begins and ends.
        token: what the template writes for a picture.
        around: what the processor puts before and after a picture by itself.
    """

    turn: Turn
    token: str
    around: tuple[str, str] = ("", "")

    def prompt(self, question: str, history: History = ()) -> str:
        """Everything before the answer.

        Raises:
            ModelError: the template writes something else than these texts and pictures.
        """
        if history:
            self.turn.prompt(question, history)  # refuses a form without earlier turns
        talk = (*(text for turn in history for text in turn), question)
        text = self.turn.write(talk) if self.turn.write else ""
        pieces = [piece.strip() for own in talk for piece in own.split(PLACE)]
        in_order = re.search(".*".join(map(re.escape, pieces)), text, re.DOTALL)
        if text.count(self.token) != sum(own.count(PLACE) for own in talk) or not in_order:
            raise ModelError(
                "The model's own prompt has no form for several pictures, or none, between texts; "
                "choose a model whose chat template has one (docs/models.md)."
            )
        before, after = self.around
        return text.replace(self.token, f"{before}{self.token}{after}")

    def with_answer(self, question: str, answer: str, history: History = ()) -> str:
        """The prompt and the answer, without the end token."""
        return f"{self.prompt(question, history)}{self.turn.lead}{answer}{self.turn.closing}"


def pictures_in(wording: Wording) -> range:
    """How many pictures a wording has a form for; one it has in any case.

    Args:
        wording: that is asked for several, or for none.
    """
    several = (f"{PLACE}\n{PLACE}\n{QUESTION}", f"{QUESTION}\n{PLACE}\nand\n{PLACE}\n{ANSWER}")
    least = 0 if _takes(wording, QUESTION) else 1
    most = ANY_PICTURES[-1] if all(_takes(wording, text) for text in several) else 1
    return range(least, most + 1)


def _takes(wording: Wording, question: str) -> bool:
    try:
        wording.prompt(question)
    except (ModelError, TemplateError, TypeError):
        return False
    return True


def turn_of(
    tokenizer: PreTrainedTokenizerBase, template: str, source: str, place: str | None = None
) -> Turn:
    """The turn that a chat template writes for a picture followed by a question.

    The template is rendered with and without an answer. Some write the answer's beginning
    otherwise when it is there already; then the answer follows the prompt as it is asked.

    Args:
        tokenizer: for the special tokens, by name in the template and as ends of a turn.
        template: in Jinja, as checkpoints bring it.
        source: the checkpoint, for the message.
        place: what stands for a picture where the template is one for text only, as a language
            model's is: on a line of its own before the question. None: the template writes it.

    Raises:
        ModelError: the template leaves the question or the answer out or writes it twice.
    """
    render = partial(_render, tokenizer, SAME_DAY + template)
    content = _parts(QUESTION, picture=True)
    say: Callable[..., Any] = _parts
    if place is not None and not _writes_pictures(render, content, place):
        say = partial(_text, place)
    user = {"role": "user", "content": say(QUESTION, picture=True)}
    prompt = render([user], add_generation_prompt=True)
    whole = render([user, {"role": "assistant", "content": say(ANSWER)}])
    for mark, text in ((QUESTION, prompt), (ANSWER, whole)):
        if text.count(mark) != 1:
            raise ModelError(
                f"The chat template of {source} writes {mark} {text.count(mark)} times instead of "
                "once; use a checkpoint with another one."
            )
    before, after = prompt.split(QUESTION)
    head, tail = whole.split(ANSWER)
    lead = head.removeprefix(prompt) if head.startswith(prompt) else ""
    closing, end = first_mark(tail, specials(tokenizer))
    content_of: Callable[[str], Any] = _pieces
    if place is not None and say is not _parts:
        content_of = partial(_named, place)
    earlier = _earlier(render, say, before, after)
    return Turn(before, after, lead, closing, end, earlier, partial(_written, render, content_of))


def _parts(text: str, *, picture: bool = False) -> Any:
    return [{"type": "image"}] * picture + [{"type": "text", "text": text}]


def _pieces(text: str) -> list[dict[str, str]]:
    """A text with places of pictures as a message's parts."""
    parts = []
    for i, piece in enumerate(text.split(PLACE)):
        parts += [{"type": "image"}] * (i > 0)
        if piece.strip():
            parts.append({"type": "text", "text": piece.strip()})
    return parts


def _written(render: Callable[..., str], say: Callable[[str], Any], talk: Talk) -> str:
    turns = [
        {"role": "assistant" if i % 2 else "user", "content": say(text)}
        for i, text in enumerate(talk)
    ]
    return render(turns, add_generation_prompt=True)


def _named(place: str, text: str) -> str:
    return text.replace(PLACE, place)


def _text(place: str, text: str, *, picture: bool = False) -> Any:
    return f"{place}\n{text}" if picture else text


def _earlier(
    render: Callable[..., str], say: Callable[..., Any], before: str, after: str
) -> tuple[str, str] | None:
    """What a template writes behind earlier questions and behind their answers.

    None where it fails at them, writes two of them unlike each other, or changes what stands around
    the first and the last question for their sake.
    """
    slots = [f"{{turn {i}}}" for i in range(5)]
    turns = [
        {"role": "assistant" if i % 2 else "user", "content": say(slot, picture=i == 0)}
        for i, slot in enumerate(slots)
    ]
    try:
        text = render(turns, add_generation_prompt=True)
    except (TemplateError, TypeError):
        return None
    pattern = "|".join(map(re.escape, slots))
    if re.findall(pattern, text) != slots:
        return None
    head, reply, onward, reply_again, onward_again, tail = re.split(pattern, text)
    same = (head, reply, onward, tail) == (before, reply_again, onward_again, after)
    return (reply, onward) if same else None


def _render(
    tokenizer: PreTrainedTokenizerBase, template: str, conversation: Any, **more: Any
) -> str:
    text = tokenizer.apply_chat_template(
        conversation, chat_template=template, tokenize=False, **more
    )
    return str(text)


def _writes_pictures(render: Callable[..., str], content: Any, place: str) -> bool:
    """Whether a template knows pictures: it writes the place of one by itself.

    One for text only prints the list of a message's parts as it stands, or fails at it.
    """
    try:
        return render([{"role": "user", "content": content}]).count(place) == 1
    except (TemplateError, TypeError):
        return False


def template_of(*holders: Any) -> str | None:
    """The chat template of the first that has one (a processor, a tokenizer): its default one."""
    templates = [holder.chat_template for holder in holders if holder.chat_template]
    first = templates[0] if templates else None
    return first.get("default") if isinstance(first, dict) else first


def end_of(wording: Wording, tokenizer: PreTrainedTokenizerBase, source: str) -> int:
    """The token that an answer is taught to end with.

    Raises:
        ModelError: neither the wording nor the tokenizer has one.
    """
    end: Any = tokenizer.eos_token_id
    if isinstance(wording, Turn) and wording.end is not None:
        end = tokenizer.get_vocab()[wording.end]
    if end is None:
        raise ModelError(
            f"Neither the chat template nor the tokenizer of {source} has a token that ends an "
            "answer; set eos_token in its tokenizer_config.json."
        )
    return int(end)


def starts_itself(wording: Wording, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a wording writes the first token of a text, so that the tokenizer adds no second."""
    bos = tokenizer.bos_token
    return bool(bos) and wording.prompt("").startswith(str(bos))


def first_mark(text: str, marks: set[str]) -> tuple[str, str | None]:
    """The first of the marks in a text and what stands before it; none: ("", None)."""
    places = [(text.index(mark), -len(mark), mark) for mark in marks if mark in text]
    if not places:
        return "", None
    place, _, mark = min(places)
    return text[:place], mark
