"""Who a node is."""

from dataclasses import dataclass
from typing import Self

from flwr.app import ConfigRecord, RecordDict

from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import declared, from_values, record_of, to_values
from fedvlm_flwr.messages.names import SITE
from fedvlm_flwr.messages.request import MOST
from fedvlm_flwr.messages.train import MOST_EXAMPLES


@dataclass(frozen=True, kw_only=True)
class SiteReply:
    """A node's answer to the question who it is.

    Attributes:
        partition: the client that it serves, its node-config's `partition-id`; -1: it has none.
        simulated: whether it stands for whichever client it is asked to be.
        examples: training examples of its client; a simulated node's are those of each client that
            it serves: its own number, and on in steps of the number of nodes.
    """

    partition: int = declared("number of a client", -1, MOST)
    simulated: bool = declared("0 or 1", 0, 1)
    examples: tuple[int, ...] = declared("examples", 0, MOST_EXAMPLES, ())

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
