"""What servers and clients say to each other: a typed class for every message and reply.

Each has `pack` and `unpack`, used by both sides; the names of records stand in `names` alone.
"""

from fedvlm_flwr.messages.answers import AnswersReply, AnswersRequest
from fedvlm_flwr.messages.failure import Failure, FailureCode, decision
from fedvlm_flwr.messages.fields import LostState, RejectedMessage
from fedvlm_flwr.messages.scores import ScoresReply, ScoresRequest
from fedvlm_flwr.messages.site import SiteReply
from fedvlm_flwr.messages.train import TrainMetrics, TrainReply, TrainRequest

__all__ = [
    "AnswersReply",
    "AnswersRequest",
    "Failure",
    "FailureCode",
    "LostState",
    "RejectedMessage",
    "ScoresReply",
    "ScoresRequest",
    "SiteReply",
    "TrainMetrics",
    "TrainReply",
    "TrainRequest",
    "decision",
]
