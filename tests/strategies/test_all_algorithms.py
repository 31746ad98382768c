"""What holds for every algorithm."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available, load_module
from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook
from strategies.core.state import LoopState

ROOT = Path(__file__).parents[2]
ALL = available("strategies")
STATEFUL = {"scaffold", "feddyn", "fedavgm", "fedadagrad", "fedadam", "fedyogi"}
NO_EFFECT: dict[str, dict[str, float]] = {
    "fedavg": {},
    "fedprox": {"mu": 0.0},
    "scaffold": {"correction": 0.0, "server_lr": 1.0},
    "fedavgm": {"beta": 0.0, "server_lr": 1.0},
    "feddyn": {"alpha": 0.0},
}
ROBUST = ("fedmedian", "trimmed_mean", "krum")
START: Arrays = {"z": np.full((2, 3), 0.5, np.float32), "a": np.zeros(4, np.float32)}
PART = {"num_clients": 9, "cohort_size": 6, "min_replies": 5}  # enough for krum, trimmed_mean

Federate = Callable[..., FederatedStrategy]


@pytest.fixture
def clients(good_reply: Callable[..., RecordDict]) -> Callable[[str], Callable[..., RecordDict]]:
    """Clients that move at random, though the same in every run, with all an algorithm asks."""

    def make(name: str) -> Callable[..., RecordDict]:
        def train(client: int, number: int, shared: Arrays) -> RecordDict:
            draws = np.random.default_rng([client, number])
            moved = {
                n: v + draws.normal(size=v.shape).astype(np.float32)
                for n, v in sorted(shared.items())
            }
            extra = {n: v - shared[n] for n, v in moved.items()} if name == "scaffold" else None
            return good_reply(moved, client + 1, loss=0.5, extra=extra, steps=client + 3, kept=1)

        return train

    return make


def assert_same(one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


def test_each_has_its_module_its_yaml_and_its_test() -> None:
    assert sorted(path.stem for path in (ROOT / "conf" / "algorithm").glob("*.yaml")) == ALL
    for name in ALL:
        assert (ROOT / "tests" / "strategies" / f"test_{name}.py").is_file(), name
    assert {*STATEFUL, *ROBUST, *NO_EFFECT, "fednova", "local", "central"} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_parameters_have_no_value_but_that_of_the_yaml(name: str) -> None:
    module = load_module("strategies", name, "algorithm")
    assert issubclass(module.Algorithm, FederatedStrategy)
    assert issubclass(module.Hook, ClientHook)
    parameters = inspect.signature(module.Params).parameters.values()
    assert all(parameter.default is inspect.Parameter.empty for parameter in parameters)
    for line in (ROOT / "conf" / "algorithm" / f"{name}.yaml").read_text().splitlines():
        assert "#" in line or line == f"name: {name}", f"{name}.yaml does not say what {line} is"


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_result_with_a_part_of_the_clients(
    federate: Federate, clients: Callable[[str], Any], name: str
) -> None:
    first, second = (federate(name, clients(name), START, rounds=3, **PART) for _ in range(2))
    assert first.state.number == 3
    assert_same(first.state.arrays, second.state.arrays)
    assert_same(first.state.server, second.state.server)
    if name == "local":
        return
    other = federate(name, clients(name), START, rounds=3, **PART | {"seed": 1})
    assert other.state.arrays.keys() == START.keys()
    for key, values in first.state.arrays.items():
        assert values.dtype == np.float32
        assert values.shape == START[key].shape
        assert np.isfinite(values).all()
        assert not np.array_equal(values, START[key])
        if name not in ("central", "krum"):  # one client's result, whoever else takes part
            assert not np.array_equal(values, other.state.arrays[key])


@pytest.mark.parametrize("name", ALL)
def test_resumed_equals_uninterrupted(
    federate: Federate, clients: Callable[[str], Any], name: str
) -> None:
    """Bit for bit, also where the checkpoint gives its tensors back in another order."""
    whole = federate(name, clients(name), START, rounds=3, **PART).state
    begun = federate(name, clients(name), START, rounds=1, **PART).state
    assert bool(begun.server) == (name in STATEFUL)
    saved = LoopState(
        {key: begun.arrays[key].copy() for key in reversed(begun.arrays)},
        {key: begun.server[key].copy() for key in reversed(begun.server)},
        begun.number,
        begun.scored,
        dict(begun.kept),
    )
    resumed = federate(name, clients(name), START, rounds=3, resume=saved, **PART).state
    assert_same(whole.arrays, resumed.arrays)
    assert_same(whole.server, resumed.server)
    assert (whole.number, whole.kept) == (resumed.number, resumed.kept)


@pytest.mark.parametrize("name", NO_EFFECT)
def test_is_fedavg_where_its_parameter_has_no_effect(
    federate: Federate, sgd_clients: Callable[..., Any], name: str
) -> None:
    """Bit for bit, with real hooks and unlike clients."""
    params = NO_EFFECT[name]
    start = {key: START[key] for key in ("a", "z")}
    own = federate(name, sgd_clients(name, params), start, params, 3).state
    average = federate("fedavg", sgd_clients("fedavg", {}), start, rounds=3).state
    assert_same(own.arrays, average.arrays)


@pytest.mark.parametrize("name", sorted(set(NO_EFFECT) - {"fedavg"}))
def test_is_not_fedavg_where_it_has_one(
    federate: Federate, sgd_clients: Callable[..., Any], name: str
) -> None:
    own = federate(name, sgd_clients(name, {}), START, rounds=3).state
    average = federate("fedavg", sgd_clients("fedavg", {}), START, rounds=3).state
    assert not np.array_equal(own.arrays["a"], average.arrays["a"])


@pytest.mark.parametrize("name", [*ROBUST, "fedavg"])
def test_one_hostile_reply(federate: Federate, clients: Callable[[str], Any], name: str) -> None:
    """Finite, huge, and with more examples than all others: FedAvg cannot stand it."""
    good = clients(name)

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        reply: RecordDict = good(client, number, shared)
        if client == 3:
            huge = {key: np.full_like(values, 1e30) for key, values in shared.items()}
            reply["arrays"] = good(client, number, huge)["arrays"]
            reply["metrics"]["num_examples"] = 1e6
        return reply

    arrays = federate(name, train, START, num_clients=6).state.arrays
    largest = max(float(np.abs(values).max()) for values in arrays.values())
    assert largest < 10 if name in ROBUST else largest > 1e29


@pytest.mark.parametrize("name", ALL)
def test_unknown_parameter_is_refused(federate: Federate, name: str) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.speed"):
        federate(name, None, START, {"speed": 1.0}, **PART)
