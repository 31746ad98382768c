"""A model's own chat template as what stands around a question and its answer."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.errors import ModelError

QUESTION, ANSWER = "{question}", "{answer}"


@dataclass(frozen=True)
class Turn:
    """One question about a picture and its answer, as the model was taught to see them.

    Attributes:
        before, after: around the question, up to where the answer is written.
        lead: between prompt and answer, taught with the answer.
        closing: between answer and end token, taught with the answer.
        end: the token that ends an answer; None: the tokenizer's own end of text.
    """

    before: str
    after: str
    lead: str = ""
    closing: str = ""
    end: str | None = None

    def prompt(self, question: str) -> str:
        """Everything before the answer."""
        return f"{self.before}{question}{self.after}"

    def with_answer(self, question: str, answer: str) -> str:
        """The prompt and the answer, without the end token."""
        return f"{self.prompt(question)}{self.lead}{answer}{self.closing}"


def turn_of(tokenizer: PreTrainedTokenizerBase, template: str, source: str) -> Turn:
    """The turn that a chat template writes for a picture followed by a question.

    The template is rendered twice, with and without an answer. Some write the answer's beginning
    otherwise when it is there already; then the answer follows the prompt as it is asked.

    Args:
        tokenizer: for the special tokens, by name in the template and as ends of a turn.
        template: in Jinja, as checkpoints bring it.
        source: the checkpoint, for the message.

    Raises:
        ModelError: the template leaves the question or the answer out or writes it twice.
    """
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    render: Any = partial(tokenizer.apply_chat_template, chat_template=template, tokenize=False)
    prompt: str = render([user], add_generation_prompt=True)
    whole: str = render([user, reply])
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
    return Turn(before, after, lead, closing, end)


def first_mark(text: str, marks: set[str]) -> tuple[str, str | None]:
    """The first of the marks in a text and what stands before it; none: ("", None)."""
    places = [(text.index(mark), -len(mark), mark) for mark in marks if mark in text]
    if not places:
        return "", None
    place, _, mark = min(places)
    return text[:place], mark


def specials(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The tokenizer's special tokens, those without a name included."""
    added = tokenizer.added_tokens_decoder.values()
    return {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
