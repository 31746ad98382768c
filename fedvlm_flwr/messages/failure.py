"""Why a client has no reply: a code with a fixed sentence, and no text of the client's own.

What went wrong in words (a record, a path, an exception's text) goes to the client's log. In a
simulation, where client and server are one machine, the words travel too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from flwr.app import ConfigRecord, RecordDict

from fedvlm_flwr.errors import (
    ConfigError,
    DataError,
    DisclosureError,
    DivergedError,
    ModelError,
    OutOfMemory,
    PolicyError,
    RequestError,
    SiteError,
    StateError,
    VocabularyError,
)
from fedvlm_flwr.messages.fields import LostState, RejectedMessage, record_of
from fedvlm_flwr.messages.names import FAILURE

LONGEST = 500  # characters of a failure's words


class FailureCode(StrEnum):
    """What kind of thing went wrong."""

    SITE = "site"
    CONFIGURATION = "configuration"
    DATA = "data"
    DISCLOSURE = "disclosure"
    VOCABULARY = "vocabulary"
    MODEL = "model"
    STATE = "state"
    REQUEST = "request"
    POLICY = "policy"
    DIVERGED = "diverged"
    MEMORY = "memory"
    INTERNAL = "internal"


SENTENCES = {
    FailureCode.SITE: "its node-config cannot be used",
    FailureCode.CONFIGURATION: "the configuration cannot be used on it",
    FailureCode.DATA: "a record or an image of its data cannot be used",
    FailureCode.DISCLOSURE: "it has fewer records than privacy.min_examples",
    FailureCode.VOCABULARY: "the model has no token for over a fifth of its answers' words; choose "
    "a model that spells any text, or set dataset.allow_unknown_words=true",
    FailureCode.MODEL: "its base model is missing, damaged or does not fit",
    FailureCode.STATE: "what it saved in an earlier round cannot be read or written",
    FailureCode.REQUEST: "it refuses the request",
    FailureCode.POLICY: "its own policy does not allow the request",
    FailureCode.DIVERGED: "its loss is not finite; lower train.lr",
    FailureCode.MEMORY: "it ran out of memory; lower train.batch_size",
    FailureCode.INTERNAL: "an unexpected error came up",
}
REFUSALS = (FailureCode.REQUEST, FailureCode.POLICY)
CODES: tuple[tuple[type[Exception], FailureCode], ...] = (
    (SiteError, FailureCode.SITE),
    (VocabularyError, FailureCode.VOCABULARY),
    (ConfigError, FailureCode.CONFIGURATION),
    (DataError, FailureCode.DATA),
    (DisclosureError, FailureCode.DISCLOSURE),
    (ModelError, FailureCode.MODEL),
    (StateError, FailureCode.STATE),
    (PolicyError, FailureCode.POLICY),
    (RequestError, FailureCode.REQUEST),
    (DivergedError, FailureCode.DIVERGED),
    (OutOfMemory, FailureCode.MEMORY),
)


@dataclass(frozen=True)
class Failure:
    """A client's failure.

    Attributes:
        words: what happened, in a simulation only; empty elsewhere.
        site: the name of the real site that failed; empty: it is simulated, or has no name.
    """

    code: FailureCode
    words: str = ""
    site: str = ""

    @classmethod
    def of(cls, error: Exception, words: str, site: str = "") -> Self:
        """The failure that an exception is."""
        codes = [code for kind, code in CODES if isinstance(error, kind)]
        return cls(codes[0] if codes else FailureCode.INTERNAL, words, site)

    @property
    def reason(self) -> str:
        """In one line, for logs and tables on the server."""
        fixed = f"{SENTENCES[self.code]} (code {self.code.value}; see the client's log)"
        return self.words or fixed

    def pack(self) -> RecordDict:
        """As a message's content."""
        texts = {"words": one_line(self.words), "site": self.site}
        more = {name: text for name, text in texts.items() if text}
        return RecordDict({FAILURE: ConfigRecord({"code": self.code.value, **more})})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The failure in a message's content; a code that nobody knows is an internal error.

        Raises:
            RejectedMessage: the record is of another kind.
        """
        record = record_of(content, FAILURE, ConfigRecord)
        code = str(record.get("code"))
        is_code = code in FailureCode.__members__.values()
        words, site = (one_line(str(record.get(name, ""))) for name in ("words", "site"))
        return cls(FailureCode(code) if is_code else FailureCode.INTERNAL, words, site)


def refuse_failure(content: RecordDict) -> None:
    """Refuse the reply of a client that failed.

    Raises:
        RejectedMessage: the reply is a failure; the text is its reason. `LostState` where the
            client lacks something that it has been sent, or that it saved.
    """
    if FAILURE in content:
        failure = Failure.unpack(content)
        kind = LostState if failure.code is FailureCode.STATE else RejectedMessage
        raise kind(failure.reason)


def decision(content: RecordDict) -> str:
    """What became of a request, by its reply: `worked`, `refused (policy)`, `failed (memory)`."""
    if FAILURE not in content:
        return "worked"
    code = Failure.unpack(content).code
    return f"{'refused' if code in REFUSALS else 'failed'} ({code.value})"


def one_line(text: str) -> str:
    """Text without control characters, in one line of bounded length."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+", " ", text).strip()
    printable = "".join(c if c.isprintable() else "?" for c in plain)
    return printable if len(printable) <= LONGEST else printable[: LONGEST - 3] + "..."
