"""How many client processes a GPU holds, and what to change where it holds none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fedvlm_flwr.config import Config
from fedvlm_flwr.engines import engine_kind
from fedvlm_flwr.planning.memory import Estimator

Change = tuple[str, Config]


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes on a card.

    Attributes:
        to_train: of a client process in training, in the fullest stage.
        to_answer: of the same in answering.
        server: of the server's process, which has a model of its own to score it; 0 where it is
            the clients' process too.
    """

    to_train: int
    to_answer: int
    server: int

    @property
    def client(self) -> int:
        """The larger of the two: a process that has done both holds as much."""
        return max(self.to_train, self.to_answer)

    @property
    def least(self) -> int:
        """One client and the server."""
        return self.client + self.server


@dataclass(frozen=True)
class Fit:
    """How a run fits a card.

    Attributes:
        clients: client processes that fit at once, at most the cohort.
        gpus_per_client: the share of the card that lets so many run at once; None where none fits.
        changes: overrides with which one client would fit; empty where one fits, or none would.
        changed: what the run needs then, or at the least.
    """

    clients: int
    gpus_per_client: float | None
    changes: tuple[str, ...]
    changed: Need


def need(config: Config, estimator: Estimator) -> Need:
    """What a run takes on a card, as it is configured."""
    stages = range(len(config.tuning.stages))
    estimates = [estimator.estimate(config, stage) for stage in stages]
    apart = engine_kind(config.engine.name).SEPARATE_PROCESSES
    answer = max(estimate.to_answer for estimate in estimates)
    return Need(max(e.to_train for e in estimates), answer, answer if apart else 0)


def fit(card: int, config: Config, estimator: Estimator) -> Fit:
    """How a run fits a card of so many bytes."""
    demand = need(config, estimator)
    clients = max(
        0, min(config.cohort_size or config.fixed_clients, (card - demand.server) // demand.client)
    )
    if clients:
        return Fit(clients, 1000 // clients / 1000, (), demand)
    changes: dict[str, str] = {}
    while demand.least > card:
        step = next(_smaller(config, estimator, demand), None)
        if step is None:
            return Fit(0, None, (), demand)
        words, config = step
        changes |= dict(word.split("=") for word in words.split())
        demand = need(config, estimator)
    return Fit(0, None, tuple(f"{key}={value}" for key, value in changes.items()), demand)


def _smaller(config: Config, estimator: Estimator, demand: Need) -> Iterator[Change]:
    """Changes that lessen the need: first of what takes most, first those that cost least."""
    answering, training = list(_to_answer(config)), list(_to_train(config))
    answers_more = demand.to_answer >= demand.to_train
    for words, changed in [*answering, *training] if answers_more else [*training, *answering]:
        if need(changed, estimator).least < demand.least:
            yield words, changed


def _to_answer(config: Config) -> Iterator[Change]:
    answer = config.eval
    if answer.batch_size > 1:
        rows = max(1, answer.batch_size // 4)
        yield f"eval.batch_size={rows}", replace(config, eval=replace(answer, batch_size=rows))


def _to_train(config: Config) -> Iterator[Change]:
    train, model = config.train, config.model
    if not train.gradient_checkpointing:
        yield (
            "train.gradient_checkpointing=true",
            replace(config, train=replace(train, gradient_checkpointing=True)),
        )
    if train.batch_size > 1:  # as many examples in a step, in more batches
        rows, parts = train.batch_size // 2, 2 * train.accumulation
        yield (
            f"train.batch_size={rows} train.accumulation={parts}",
            replace(config, train=replace(train, batch_size=rows, accumulation=parts)),
        )
    if model.params.quantize != "4bit" and "full" not in config.tuning.modes.get("llm", ()):
        params = replace(model.params, quantize="4bit")
        yield "model.quantize=4bit", replace(config, model=replace(model, params=params))
