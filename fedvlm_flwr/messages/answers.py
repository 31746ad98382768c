"""Answering for the server: a part of its test questions, and the answers to them."""

from dataclasses import dataclass
from typing import Self

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import (
    RejectedMessage,
    declared,
    from_values,
    only,
    record_of,
    to_values,
)
from fedvlm_flwr.messages.names import ANSWERS, ARRAYS, PREVIOUS, REQUEST, RESIDUAL
from fedvlm_flwr.messages.request import MOST, of_one_version

KIND = "evaluate.answers"  # Flower's type of such a message
ACTION = KIND.partition(".")[2]
LONGEST = 1_000_000  # characters of an answer


@dataclass(frozen=True, kw_only=True)
class AnswersRequest:
    """Answer a part of the server's test questions with its model.

    Attributes:
        stage: of the tuning, from 0.
        what: which questions: see `Evaluator.questions`.
        part: the number of the part, from 0.
        parts: into how many the questions are divided.
        arrays: what the stage has trained, packed.
        previous: what the stages before it have, packed.
        residual: the factors of a frozen term beside the base, packed.
    """

    stage: int = declared("number, from 0", 0, 1000)
    what: str = declared("characters", 1, 64)
    part: int = declared("number, from 0", 0, MOST)
    parts: int = declared("parts", 1, MOST)
    arrays: ArrayRecord
    previous: ArrayRecord
    residual: ArrayRecord

    def pack(self) -> RecordDict:
        """As a message's content."""
        arrays = {ARRAYS: self.arrays, PREVIOUS: self.previous, RESIDUAL: self.residual}
        return RecordDict({REQUEST: ConfigRecord(to_values(self)), **arrays})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The request in a message's content.

        Raises:
            RequestError: a record or value is absent or senseless.
        """
        with of_one_version():
            values = from_values(cls, record_of(content, REQUEST, ConfigRecord), REQUEST)
            names = {"arrays": ARRAYS, "previous": PREVIOUS, "residual": RESIDUAL}
            values |= {key: record_of(content, name, ArrayRecord) for key, name in names.items()}
        return cls(**values)


@dataclass(frozen=True)
class AnswersReply:
    """The answers to a part of the questions, in their order."""

    texts: list[str]

    def pack(self) -> RecordDict:
        """As a message's content."""
        return RecordDict({ANSWERS: ConfigRecord({ANSWERS: self.texts})})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The answers in a message's content.

        Raises:
            RejectedMessage: the client failed, or what it sends is no list of texts.
        """
        refuse_failure(content)
        texts = record_of(content, ANSWERS, ConfigRecord).get(ANSWERS)
        only(content, ANSWERS)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RejectedMessage("its answers are no list of texts")
        answers = [str(text) for text in texts]
        if any(len(answer) > LONGEST for answer in answers):
            raise RejectedMessage(f"an answer has more than {LONGEST} characters")
        return cls(answers)
