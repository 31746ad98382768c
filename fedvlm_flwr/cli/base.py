"""What commands ask of the algorithm, the client and the server: the house's upper rooms."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.planning.footprint import Parameters
from fedvlm_flwr.planning.traffic import ClientTraffic, Traffic, shapes_of
from fedvlm_flwr.run_folder import CLIENTS
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import ClientModel

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
    rule, state, short = strategy.rule, strategy.state, config.wire.short
    passing = {} if short and not rule.leaves_residual else rule.passing(state, sorted(cohort))
    ranks = Counter(rule.rank_of(state, client) for client in cohort)
    any_of = {rule.rank_of(state, client): client for client in cohort}

    def message(rank: int | None, clients: int) -> ClientTraffic:
        client = any_of[rank]
        back, sent = strategy.expected(client, 1), strategy.sent(client)
        down = back if short else sent  # of changes, only those of what a round has trained
        return ClientTraffic(
            rank,
            clients,
            down=(shapes_of(down), shapes_of(extra)),
            up=(shapes_of(back), shapes_of(strategy.expected_extra())),
            deposits=shapes_of(passing),
            whole=(shapes_of(sent), shapes_of(extra)) if short else (),
        )

    messages = tuple(
        message(*each) for each in sorted(ranks.items(), key=lambda item: item[0] or 0)
    )
    once = {
        f"{name}/{key}": values
        for name, deposit in strategy.deposits().items()
        for key, values in deposit.arrays.items()
        if key not in passing
    }
    return Traffic(shapes_of(state.arrays), shapes_of(extra), shapes_of(once), messages)


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


def client_model(run: FinishedRun, client: int | None) -> tuple[int, ClientModel] | None:
    """A client's own model of a run, as `load_run_model` takes it; None: everybody's is wanted.

    Raises:
        RunError: clients of the run have no models of their own, there is no such client, or its
            parts are not in the run folder.
    """
    if client is None:
        return None
    from client_app.private import PrivateState
    from server_app.saved import read_checkpoint
    from strategies import load_hook
    from strategies.core.client_hook import RoundInput

    saved, path = read_checkpoint(run.folder), run.folder.path
    assert saved is not None, "a finished run has one"
    number = saved.state.saved_rounds.get(client)
    if number is None:
        clients = ", ".join(map(str, sorted(saved.state.saved_rounds))) or "none has"
        raise RunError(
            f"Client {client} has no part of its own in the run of {path} (clients that have one: "
            f"{clients}); leave --client out, or name one of them."
        )
    private = PrivateState(path / CLIENTS, saved.run, client, saved.stage)
    if not private.path(number).exists():
        raise RunError(
            f"The parts of client {client} are not in {path / CLIENTS}, they stay with the client; "
            "run this where it keeps them, with its folder in that place."
        )
    memory = private.load(number)

    def whole(shared: Arrays) -> Arrays:
        start = RoundInput(shared, state=memory.hook)
        return memory.tensors | load_hook(run.config.algorithm).scored(start)

    return client, whole
