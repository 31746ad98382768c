"""The server's test questions, answered by the processes of simulated clients."""

import time
from dataclasses import replace
from functools import cached_property
from logging import WARNING

from flwr.app import Message
from flwr.common.logger import log
from flwr.serverapp import Grid

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.engines import engine_kind
from fedvlm_flwr.evaluation.answers import StepFn, part_of
from fedvlm_flwr.evaluation.evaluator import WHOLE, OwnAnswers
from fedvlm_flwr.messages import AnswersReply, AnswersRequest, RejectedMessage
from fedvlm_flwr.messages.answers import KIND
from fedvlm_flwr.messages.wire import pack
from strategies.core.cohort import wait_for_nodes
from strategies.core.exchange import Exchange
from strategies.core.validation import require_answer

LEAST = 64  # questions that are worth a message


class Spread:
    """Has simulated nodes answer, each always the same part: its pictures stay in their memory."""

    def __init__(self, config: Config, grid: Grid) -> None:
        self._config, self._grid = config, grid
        self._request: AnswersRequest | None = None

    @classmethod
    def of(cls, config: Config, grid: Grid) -> "Spread | None":
        """What `eval.spread` asks for; None: the server answers itself."""
        apart = engine_kind(config.engine.name).SEPARATE_PROCESSES and not config.engine.real_sites
        spread = config.eval.spread
        return cls(config, grid) if (apart if spread is None else spread) else None

    @cached_property
    def _nodes(self) -> list[int]:
        config = self._config
        number = config.engine.nodes_for(config.fixed_clients)
        return wait_for_nodes(self._grid, number, time.monotonic() + config.round_timeout)

    def place(self, stage: int, arrays: Arrays, previous: Arrays, residual: Arrays) -> None:
        """Take the model that is to answer next, see `Resident.place`."""
        records = {"arrays": arrays, "previous": previous, "residual": residual}
        packed = {name: pack(values) for name, values in records.items()}
        self._request = AnswersRequest(stage=stage, what=WHOLE, part=0, parts=1, **packed)

    def answers(self, what: str, count: int, step: StepFn | None, own: OwnAnswers) -> list[str]:
        """The answers to all questions of a kind, in their order.

        Args:
            what: see `Evaluator.questions`.
            count: how many they are.
            own: answers a part that does not come back.
        """
        assert self._request is not None, "a model is placed before it answers"
        parts = min(len(self._nodes), max(1, count // LEAST))
        contents = {
            part: replace(self._request, what=what, part=part, parts=parts).pack()
            for part in range(parts)
        }
        exchange = Exchange(
            self._grid, self._config.round_timeout, dict(enumerate(self._nodes)).get
        )
        texts: dict[int, list[str]] = {}
        for part, message in exchange.run(contents, KIND, what):
            try:
                if message is None:
                    raise RejectedMessage(exchange.late())
                texts[part] = read_answers(message, part_of(count, part, parts))
            except RejectedMessage as verdict:
                log(WARNING, "The server answers a part of the questions itself: %s", verdict)
                texts[part] = own(what, part, parts)
            if step is not None:
                step(sum(map(len, texts.values())), count)
        return [text for part in range(parts) for text in texts[part]]


def read_answers(message: Message, questions: range) -> list[str]:
    """The answers in a reply.

    Raises:
        RejectedMessage: there are none, or not one for each question.
    """
    require_answer(message)
    texts = AnswersReply.unpack(message.content).texts
    if len(texts) != len(questions):
        raise RejectedMessage(f"it answers {len(texts)} of {len(questions)} questions")
    return texts
