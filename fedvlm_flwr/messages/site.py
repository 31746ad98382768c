"""Who a node is."""

from dataclasses import dataclass
from typing import Self

from flwr.app import ConfigRecord, RecordDict

from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import declared, from_values, record_of, to_values
from fedvlm_flwr.messages.names import SITE
from fedvlm_flwr.messages.request import MOST
from fedvlm_flwr.messages.train import MOST_EXAMPLES

SIDES = ("answers", "questions")  # whose words are counted
TOO_FEW = -1  # instead of a count that a site keeps to itself


@dataclass(frozen=True, kw_only=True)
class SiteReply:
    """A node's answer to the question who it is.

    Attributes:
        partition: the client that a simulated node serves; -1: it is a real site.
        simulated: whether it stands for whichever client it is asked to be.
        examples: training examples of its client; a simulated node's are those of each client that
            it serves: its own number, and on in steps of the number of nodes.
        site: the name of a real site; what follows is of such only.
        versions: of the packages that decide numbers, `torch 2.13.0, ...`.
        source: the fingerprint of the code and of conf/.
        configuration: that of the composed configuration.
        base: that of the frozen weights of the base model.
        tasks: the names of the tasks of its records, with blanks between.
        training: training records by task, in that order; -1: fewer than `privacy.min_examples`.
        held_out: the same of the records that it scores by.
        lora_rank: of its adapters; 0: the server's.
        words: of a sample of its training records: of the answers, and of the questions.
        unknown_words: how many of these the model has no token for; none are counted where fewer
            than `privacy.min_examples` records hold one.
        foreign_labels: classification records of a class that is none of `dataset.labels`; 0 where
            they are fewer than `privacy.min_examples`.
    """

    partition: int = declared("number of a client", -1, MOST, -1)
    simulated: bool = declared("0 or 1", 0, 1, False)
    examples: tuple[int, ...] = declared("examples", 0, MOST_EXAMPLES, ())
    site: str = declared("characters", 0, 64, "")
    versions: str = declared("characters", 0, 1000, "")
    source: str = declared("hexadecimal digits", 0, 64, "")
    configuration: str = declared("hexadecimal digits", 0, 64, "")
    base: str = declared("hexadecimal digits", 0, 64, "")
    tasks: str = declared("characters", 0, 1000, "")
    training: tuple[int, ...] = declared("records", TOO_FEW, MOST_EXAMPLES, ())
    held_out: tuple[int, ...] = declared("records", TOO_FEW, MOST_EXAMPLES, ())
    lora_rank: int = declared("rank", 0, MOST, 0)
    words: tuple[int, ...] = declared("words", 0, MOST_EXAMPLES, ())
    unknown_words: tuple[int, ...] = declared("words", 0, MOST_EXAMPLES, ())
    foreign_labels: int = declared("records", 0, MOST_EXAMPLES, 0)

    def pack(self) -> RecordDict:
        """As a message's content."""
        return RecordDict({SITE: ConfigRecord(to_values(self))})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The answer in a message's content.

        Raises:
            RejectedMessage: it is none, or the node failed.
        """
        refuse_failure(content)
        return cls(**from_values(cls, record_of(content, SITE, ConfigRecord), SITE))
