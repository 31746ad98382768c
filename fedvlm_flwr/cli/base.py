"""What planning commands ask of the algorithm and of the client: the house's upper rooms."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.planning.footprint import Parameters
from fedvlm_flwr.planning.traffic import ClientTraffic, Traffic, shapes_of
from fedvlm_flwr.seeding import stream

STEPS = 3  # of the optimizer: its state is there after the first


def usual_round(config: Config, stage: int, trained: Arrays) -> Traffic:
    """The messages of a stage's usual round, by the configured algorithm.

    Raises:
        ConfigError: the algorithm refuses the number of clients or the size of the tensors.
    """
    from strategies import load_strategy
    from strategies.core.federation import Federation

    strategy = load_strategy(config.algorithm, Federation.of(config, stage))
    strategy.begin(trained)
    cohort, extra = strategy.choose(1), strategy.broadcast()
    passing = strategy.rule.passing(strategy.state, sorted(cohort))
    ranks = Counter(strategy.rule.rank_of(strategy.state, client) for client in cohort)
    any_of = {strategy.rule.rank_of(strategy.state, client): client for client in cohort}
    messages = tuple(
        ClientTraffic(
            rank,
            clients,
            tuple(map(shapes_of, (strategy.sent(any_of[rank]), passing, extra))),
            tuple(map(shapes_of, (strategy.expected(any_of[rank], 1), strategy.expected_extra()))),
        )
        for rank, clients in sorted(ranks.items(), key=lambda item: item[0] or 0)
    )
    once = {
        f"{name}/{key}": values
        for name, deposit in strategy.deposits().items()
        for key, values in deposit.arrays.items()
        if key not in passing
    }
    shared = shapes_of(strategy.state.arrays)
    return Traffic(shared, shapes_of(extra), shapes_of(once), messages)


def start_hooks(
    config: Config, parameters: Parameters, shared: Arrays, extra: Arrays | None = None
) -> list[Any]:
    """The client side of the configured algorithm, as it is before a round's first step.

    Where a client has a model of its own, that one's follows.

    Args:
        shared: the shared tensors as they came.
        extra: what came beside them; None: as much again.
    """
    from strategies import load_hook
    from strategies.core.client_hook import RoundInput

    hook = load_hook(config.algorithm)
    start = RoundInput(shared, extra=shared if extra is None else extra)
    hook.on_start(parameters, start)
    own = hook.personal(start)
    if own is None:
        return [hook]
    own.hook.on_start(parameters, start)
    return [hook, own.hook]


def try_out(config: Config, model: Resident, stage: int, records: Sequence[Example]) -> None:
    """Some steps of local training in a stage, as a client takes them.

    Raises:
        DivergedError: the loss is not finite.
    """
    from client_app.local import draw, train_locally

    parts = config.tuning.stages[stage].shared
    parameters = model.place(stage, model.initial[stage], {})
    zeros: Arrays = {
        name: np.broadcast_to(np.float32(0), tuple(parameter.shape))
        for name, parameter in parameters.items()
        if name.partition(".")[0] in parts
    }
    hook, *_ = start_hooks(config, parameters, zeros)
    order = stream(config.seed, "batches")
    picks = draw(len(records), config.train, STEPS, order)
    draws = [[records[i] for i in pick] for pick in picks]
    train_locally(model, parameters, draws, config.train, config.train.lr, hook)
