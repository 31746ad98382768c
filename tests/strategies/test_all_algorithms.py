"""What holds for every algorithm."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.serverapp.strategy import Strategy

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.plugins import available, load_module
from strategies import algorithm_class
from strategies.core.adapter_rule import AdapterRule
from strategies.core.client_hook import ClientHook
from strategies.core.flower import FederatedStrategy
from strategies.core.state import ServerState
from tests.facts import declared

ROOT = Path(__file__).parents[2]
ALL = available("strategies")


# Parameters that take the algorithm's effect away.
IS_FEDAVG_AT = declared("tests.strategies", ALL, "IS_FEDAVG_AT")
STATEFUL = declared("tests.strategies", ALL, "STATEFUL")  # it keeps tensors on the server
ROBUST = declared("tests.strategies", ALL, "ROBUST")  # one hostile reply does not matter
# A round's result is that of one client, whoever else takes part.
ONE_CLIENTS_RESULT = declared("tests.strategies", ALL, "ONE_CLIENTS_RESULT")
SHARES_NOTHING = declared("tests.strategies", ALL, "SHARES_NOTHING")  # every model is a client's
START: Arrays = {"z": np.full((2, 3), 0.5, np.float32), "a": np.zeros(4, np.float32)}
PART = {"num_clients": 9, "clients_per_round": 6, "min_replies": 5}  # enough for krum, trimmed_mean

Federate = Callable[..., FederatedStrategy]


@pytest.fixture
def clients(good_reply: Callable[..., RecordDict]) -> Callable[[RecordDict], RecordDict]:
    """Clients that move at random, though the same in every run, with all an algorithm asks."""

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        client, shared = request.client, unpack(request.arrays)
        draws = np.random.default_rng([client, request.round])
        moved = {
            n: v + draws.normal(size=v.shape).astype(np.float32) for n, v in sorted(shared.items())
        }
        extra = {n: v - shared[n] for n, v in moved.items()} if request.extra is not None else None
        return good_reply(moved, client + 1, 0.5, extra, steps=client + 3, saved_state=True)

    return train


def assert_same(one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


def test_each_has_its_module_its_yaml_and_its_test() -> None:
    assert sorted(path.stem for path in (ROOT / "conf" / "algorithm").glob("*.yaml")) == ALL
    for name in ALL:
        assert (ROOT / "tests" / "strategies" / f"test_{name}.py").is_file(), name


@pytest.mark.parametrize("name", ALL)
def test_parameters_have_no_value_but_that_of_the_yaml(name: str) -> None:
    module = load_module("strategies", name, "algorithm")
    kind = algorithm_class(name)
    assert issubclass(kind, FederatedStrategy | AdapterRule)
    assert issubclass(kind, AdapterRule) or issubclass(kind, Strategy)
    assert kind.__name__.lower() == name.replace("_", "")
    assert issubclass(kind.client_hook, ClientHook)
    parameters = inspect.signature(module.Params).parameters.values()
    own = [each for each in parameters if each.name != "adapters"]  # null: there is none
    assert all(each.default is inspect.Parameter.empty for each in own)
    for line in (ROOT / "conf" / "algorithm" / f"{name}.yaml").read_text().splitlines():
        assert "#" in line or line == f"name: {name}", f"{name}.yaml does not say what {line} is"


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_result_with_a_part_of_the_clients(
    federate: Federate, clients: Callable[..., Any], name: str
) -> None:
    first, second = (federate(name, clients, START, rounds=3, **PART) for _ in range(2))
    assert first.state.number == 3
    assert_same(first.state.arrays, second.state.arrays)
    assert_same(first.state.server, second.state.server)
    assert (not first.state.arrays) == (name in SHARES_NOTHING)
    if name in SHARES_NOTHING:
        return
    other = federate(name, clients, START, rounds=3, **PART | {"seed": 1})
    assert other.state.arrays.keys() == START.keys()
    for key, values in first.state.arrays.items():
        assert values.dtype == np.float32
        assert values.shape == START[key].shape
        assert np.isfinite(values).all()
        assert not np.array_equal(values, START[key])
        if name not in ONE_CLIENTS_RESULT:
            assert not np.array_equal(values, other.state.arrays[key])


@pytest.mark.parametrize("name", ALL)
def test_resumed_equals_uninterrupted(
    federate: Federate, clients: Callable[..., Any], name: str
) -> None:
    """Bit for bit, also where the checkpoint gives its tensors back in another request."""
    whole = federate(name, clients, START, rounds=3, **PART).state
    begun = federate(name, clients, START, rounds=1, **PART).state
    assert bool(begun.server) == (name in STATEFUL)
    saved = ServerState(
        {key: begun.arrays[key].copy() for key in reversed(begun.arrays)},
        {key: begun.server[key].copy() for key in reversed(begun.server)},
        begun.number,
        begun.scored,
        dict(begun.saved_rounds),
        {client: dict(numbers) for client, numbers in begun.holds.items()},
    )
    resumed = federate(name, clients, START, rounds=3, resume=saved, **PART).state
    assert_same(whole.arrays, resumed.arrays)
    assert_same(whole.server, resumed.server)
    assert (whole.number, whole.saved_rounds) == (resumed.number, resumed.saved_rounds)


@pytest.mark.parametrize("name", IS_FEDAVG_AT)
def test_is_fedavg_where_its_parameter_has_no_effect(
    federate: Federate, sgd_clients: Callable[..., Any], name: str
) -> None:
    """Bit for bit, with real hooks and unlike clients."""
    params = IS_FEDAVG_AT[name]
    start = {key: START[key] for key in ("a", "z")}
    own = federate(name, sgd_clients(name, params), start, params, 3).state
    average = federate("fedavg", sgd_clients("fedavg", {}), start, rounds=3).state
    assert_same(own.arrays, average.arrays)


@pytest.mark.parametrize("name", sorted(set(IS_FEDAVG_AT) - {"fedavg"}))
def test_is_not_fedavg_where_it_has_one(
    federate: Federate, sgd_clients: Callable[..., Any], name: str
) -> None:
    own = federate(name, sgd_clients(name, {}), START, rounds=3).state
    average = federate("fedavg", sgd_clients("fedavg", {}), START, rounds=3).state
    assert not np.array_equal(own.arrays["a"], average.arrays["a"])


@pytest.mark.parametrize("name", [*ROBUST, "fedavg"])
def test_one_hostile_reply(federate: Federate, clients: Callable[..., Any], name: str) -> None:
    """Finite, huge, and with more examples than all others: FedAvg cannot stand it."""

    def train(content: RecordDict) -> RecordDict:
        reply: RecordDict = clients(content)
        request = TrainRequest.unpack(content)
        if request.client == 3:
            huge = {key: np.full_like(v, 1e12) for key, v in unpack(request.arrays).items()}
            reply["arrays"] = pack(huge)
            reply["metrics"]["num_examples"] = 1e6
        return reply

    arrays = federate(name, train, START, num_clients=6).state.arrays
    largest = max(float(np.abs(values).max()) for values in arrays.values())
    assert largest < 10 if name in ROBUST else largest > 1e11


@pytest.mark.parametrize("name", ALL)
def test_unknown_parameter_is_refused(federate: Federate, name: str) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.speed"):
        federate(name, None, START, {"speed": 1.0}, **PART)
