"""What the parts of a model hold, train and send, counted without any weight."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel

from fedvlm_flwr.config import Config, Stage
from fedvlm_flwr.models import model_skeleton
from fedvlm_flwr.models.parts import fit_for, set_trainable
from fedvlm_flwr.models.vlm import Skeleton
from fedvlm_flwr.models.weights.loading import torch_dtype

OUTSIDE = "outside"  # what belongs to no part: a head that is not tied to the embeddings

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class PartCount:
    """Numbers of one part in one stage of a tuning.

    Attributes:
        total: all that the part holds, adapters included; a tensor in two places counts once.
        trained: those that the stage trains.
        shared: those of them that travel to the server.
    """

    part: str
    total: int
    trained: int
    shared: int


@dataclass(frozen=True)
class MessageCount:
    """What the messages of the clients of one rank weigh in a usual round.

    Attributes:
        rank: of their adapters; None: all have the server's.
        clients: those of a round that have it.
        down, up: bytes of the arrays of one client's message and reply.
        first: bytes more of a client's first message, where later ones hold changes.
    """

    rank: int | None
    clients: int
    down: int
    up: int
    first: int = 0


@dataclass(frozen=True)
class StageCount:
    """One stage of a tuning: its parts, and what its messages weigh.

    Attributes:
        modes: how each trained part is trained.
        messages: by rank, the lowest first.
        once: bytes more in a client's first message: what it keeps, e.g. the result of the stages
            before.
    """

    modes: Mapping[str, str]
    parts: list[PartCount]
    messages: list[MessageCount]
    once: int


def adapted_skeleton(config: Config) -> Skeleton:
    """The configured model's network without weights, in its precision, with the tuning's adapters.

    Raises:
        ConfigError: the model's or the tuning's keys contradict each other.
        ModelError: the model's sizes are not at hand, or it lacks a part that is to be trained.
    """
    skeleton = model_skeleton(config.model)
    for network in list(skeleton.module.modules()):
        if isinstance(network, PreTrainedModel):  # others compute in a precision of their own
            network.to(torch_dtype(config.model.params))  # type: ignore[arg-type]
    fit_for(skeleton, config.tuning, seed=0)  # there are no values to draw
    return skeleton


def trained_shapes(skeleton: Skeleton, stage: Stage) -> Shapes:
    """Shapes of the tensors that a stage trains, by stable name, part first.

    Raises:
        ModelError: the stage trains a part that the model does not have.
    """
    return {name: tuple(p.shape) for name, p in set_trainable(skeleton, stage).items()}


def count_parts(skeleton: Skeleton, trained: Shapes, shared: Iterable[str]) -> list[PartCount]:
    """A count for each part, and one for what lies outside them.

    Args:
        trained: see `trained_shapes`.
        shared: the names among them that travel.
    """
    totals = Counter(dict.fromkeys((*skeleton.parts, OUTSIDE), 0))
    for name, parameter in skeleton.module.named_parameters():
        totals[_part_of(name, skeleton.parts)] += parameter.numel()
    learnt = _by_part(trained)
    sent = _by_part({name: trained[name] for name in shared})
    return [PartCount(part, total, learnt[part], sent[part]) for part, total in totals.items()]


def _part_of(name: str, parts: Mapping[str, str]) -> str:
    """The innermost part: some families' connectors lie inside their vision tower."""
    candidates = [part for part, path in parts.items() if name.startswith(f"{path}.")]
    return max(candidates, key=lambda part: len(parts[part]), default=OUTSIDE)


def _by_part(shapes: Shapes) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, shape in shapes.items():
        counts[name.partition(".")[0]] += math.prod(shape)
    return counts
