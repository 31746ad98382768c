"""What holds for every rule over adapters, on pairs of a few numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available
from strategies import algorithm_class
from strategies.core.adapter_rule import AdapterRule
from strategies.core.flower import FederatedStrategy
from tests.facts import declared
from tests.strategies.pairs import (
    CONNECTOR,
    Clients,
    GoodReply,
    States,
    assert_near,
    begun,
    copy_of,
    served,
    start,
)

ALL = available("strategies")
RULES = [name for name in ALL if issubclass(algorithm_class(name), AdapterRule)]
EXACT = declared("tests.strategies", ALL, "EXACT")  # what is served is the mean of the products
MIXED_RANKS = declared("tests.strategies", ALL, "MIXED_RANKS")  # it has a meaning where they differ
HALVES = [  # there is no whole adapter on the server
    name for name in declared("tests.strategies", ALL, "OWN_MODELS") if name in RULES
]
PART = {"num_clients": 3, "clients_per_round": 2}
RANKS = (2, 4, 8)

Federate = Callable[..., FederatedStrategy]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("only", [True, False])
def test_resumed_equals_uninterrupted(
    federate: Federate, good_reply: GoodReply, name: str, only: bool
) -> None:
    """Bit for bit after any round, with what clients keep; also where there is no connector."""
    first = {n: v for n, v in start(8).items() if n != CONNECTOR or not only}
    part = PART | ({"ranks": RANKS} if name in MIXED_RANKS else {})
    seen = States()
    whole = federate(name, Clients(good_reply), first, rounds=4, callback=seen, **part).state
    clients = Clients(good_reply)
    federate(name, clients, first, rounds=2, **part)
    saved = copy_of(seen.by_round[2])
    resumed = federate(name, clients, first, rounds=4, resume=saved, **part).state
    assert resumed.number == 4
    for one, other in ((whole.arrays, resumed.arrays), (whole.server, resumed.server)):
        assert one.keys() == other.keys()
        for key, values in one.items():
            np.testing.assert_array_equal(values, other[key], err_msg=key)
    assert (whole.holds, whole.saved_rounds) == (resumed.holds, resumed.saved_rounds)


@pytest.mark.parametrize("name", EXACT)
def test_the_exact_ones_are_the_dense_mean_of_products_in_each_round(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    clients, seen = Clients(good_reply), States()
    part = PART | ({"ranks": RANKS} if name in MIXED_RANKS else {})
    federate(name, clients, start(8), rounds=5, callback=seen, **part)
    for number, state in seen.by_round.items():
        assert_near(served(state), clients.mean_of_products(number))


@pytest.mark.parametrize("name", [name for name in RULES if name not in (*EXACT, *HALVES)])
def test_the_others_are_not(federate: Federate, good_reply: GoodReply, name: str) -> None:
    clients = Clients(good_reply)
    state = federate(name, clients, start(), rounds=1, **PART).state
    with pytest.raises(AssertionError):
        assert_near(served(state), clients.mean_of_products(1), 1e-2)


@pytest.mark.parametrize("name", [name for name in RULES if name not in HALVES])
def test_one_clients_result_is_everybodys(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    clients, seen = Clients(good_reply), States()
    federate(name, clients, start(), rounds=3, num_clients=1, callback=seen)
    for number, state in seen.by_round.items():
        assert_near(served(state), clients.of_round(number)[0].after)
        sent = clients.of_round(number)[0].up[CONNECTOR]
        np.testing.assert_array_equal(state.arrays[CONNECTOR], sent)


@pytest.mark.parametrize("name", RULES)
def test_the_connector_is_averaged_by_examples(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    clients = Clients(good_reply)
    state = federate(name, clients, start(), num_clients=2).state
    up = [clients.log[1, k].up[CONNECTOR] for k in range(2)]
    mean = (up[0].astype(np.float64) + 3 * up[1].astype(np.float64)) / 4
    np.testing.assert_allclose(state.arrays[CONNECTOR], mean, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(MIXED_RANKS))
def test_each_client_has_its_rank_both_ways(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    clients = Clients(good_reply)
    state = federate(name, clients, start(8), rounds=2, num_clients=3, ranks=RANKS).state
    for (_, client), each in clients.log.items():
        for arrays in (each.down, each.up):
            assert arrays["llm.q.lora_A"].shape == (RANKS[client], 6)
            assert arrays["llm.v.lora_B"].shape == (7, RANKS[client])
    assert state.arrays["llm.q.lora_A"].shape == (8, 6), "the server's own is of its own rank"


@pytest.mark.parametrize("name", sorted(MIXED_RANKS))
def test_rows_that_nobody_of_a_round_has_can_still_be_trained(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    """With zeros in both factors they never could be, whoever comes next."""
    clients = Clients(good_reply)
    state = federate(name, clients, start(8), rounds=2, num_clients=1, ranks=(2,)).state
    for layer in ("llm.q", "llm.v"):
        a, b = state.arrays[f"{layer}.lora_A"], state.arrays[f"{layer}.lora_B"]
        assert (a.any(axis=1) | b.any(axis=0)).all()
    assert_near(served(state), clients.of_round(2)[0].after)


@pytest.mark.parametrize("name", [*(n for n in RULES if n not in MIXED_RANKS), "fedavg"])
def test_differing_ranks_are_refused_where_they_have_no_meaning(
    federate: Federate, name: str
) -> None:
    sentence = rf"algorithm={name} has no meaning where clients' ranks differ; choose flexlora"
    with pytest.raises(ConfigError, match=sentence):
        begun(name, start(), num_clients=2, ranks=(2, 4))
    begun(name, {CONNECTOR: np.zeros(1, np.float32)}, ranks=(2, 4))


@pytest.mark.parametrize("rule", ["lora_fair", "flora"])
def test_what_a_rule_beside_an_algorithm_cannot_do_is_said_of_the_rule(
    federate: Federate, rule: str
) -> None:
    facts = {"lora_fair": {"ranks": (2, 4)}, "flora": {"quantized": True}}[rule]
    with pytest.raises(ConfigError, match=rf"^algorithm\.adapters={rule} "):
        begun("fedadam", start(), {"adapters": rule}, **facts)


@pytest.mark.parametrize("keeps", ["local", "fedavg"])
def test_ranks_of_adapters_that_stay_with_the_clients_are_refused(
    federate: Federate, keeps: str
) -> None:
    """The server cuts what it sends, and these it does not send: the ranks would do nothing."""
    with pytest.raises(ConfigError, match=r"adapters stay with the clients.*rank_of=null"):
        begun(keeps, start(), ranks=(2, 4), share=("connector",))


@pytest.mark.parametrize("name", RULES)
def test_magnitudes_of_dora_are_refused_by_those_that_combine_products(
    federate: Federate, good_reply: GoodReply, name: str
) -> None:
    dora = start() | {"llm.q.lora_magnitude_vector": np.ones(5, np.float32)}
    kind = algorithm_class(name)
    assert issubclass(kind, AdapterRule)
    if not kind.combines:
        arrays = federate(name, Clients(good_reply), dora).state.arrays
        assert not np.array_equal(arrays["llm.q.lora_magnitude_vector"], np.ones(5))
        return
    with pytest.raises(ConfigError, match=rf"algorithm={name} aggregates; set tuning.lora.use_dor"):
        begun(name, dora)


@pytest.mark.parametrize("name", [n for n in RULES if algorithm_class(n).combines])
def test_memory_that_a_cohorts_adapters_would_pass_is_refused(
    federate: Federate, name: str
) -> None:
    if name == "hetlora":  # one running sum
        begun(name, start(), num_clients=10**6)
        return
    with pytest.raises(
        ConfigError, match=rf"{name} keeps the adapters of all 1000 .*max_gigabytes"
    ):
        begun(name, start(), {"max_gigabytes": 1e-4}, num_clients=1000)


@pytest.mark.parametrize("rule", RULES)
def test_beside_fedadam_the_connector_is_fedadams_and_the_pairs_the_rules(
    federate: Federate, good_reply: GoodReply, rule: str
) -> None:
    """Rules that average tensor by tensor leave that to the algorithm; its step is fedadam's."""
    clients = {name: Clients(good_reply) for name in ("both", "fedadam", "rule")}
    facts = {"rounds": 2, "num_clients": 2}
    both = federate("fedadam", clients["both"], start(), {"adapters": rule}, **facts).state.arrays
    adam = federate("fedadam", clients["fedadam"], start(), **facts).state.arrays
    own = federate(rule, clients["rule"], start(), **facts).state.arrays
    np.testing.assert_array_equal(both[CONNECTOR], adam[CONNECTOR])
    assert not np.array_equal(both[CONNECTOR], own[CONNECTOR])
    kind = algorithm_class(rule)
    assert issubclass(kind, AdapterRule)
    if kind.combines:
        np.testing.assert_array_equal(both["llm.q.lora_B"], own["llm.q.lora_B"])
    elif rule == "fedit":
        np.testing.assert_array_equal(both["llm.q.lora_B"], adam["llm.q.lora_B"])
    assert clients["both"].log[2, 0].names == clients["rule"].log[2, 0].names, "what travels"


@pytest.mark.parametrize(
    "name",
    ["scaffold", "feddyn", "fednova", "krum", "fedmedian", "trimmed_mean", "local", "central"],
)
def test_algorithms_beside_which_no_rule_has_a_meaning_say_why(
    federate: Federate, name: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"adapters=flexlora cannot go with algorithm={name}: i?"
    ):
        begun(name, start(), {"adapters": "flexlora"}, num_clients=6)


@pytest.mark.parametrize("rule", ["ffa_lora", "fedit"])
@pytest.mark.parametrize("name", ["scaffold", "feddyn", "fednova", "ditto"])
def test_rules_that_keep_the_basis_go_with_algorithms_that_need_it(
    federate: Federate, sgd_clients: Callable[..., Any], name: str, rule: str
) -> None:
    """SCAFFOLD and FedDyn take the drift out of what is trained beside the half at rest too."""
    own = {"adapters": rule} | ({"alpha": 1.0} if name == "feddyn" else {})
    ones = {n: np.zeros_like(values) for n, values in start().items()}
    facts = {"rounds": 40, "num_clients": 2, "weighting": "uniform"}
    strategy = federate(name, sgd_clients(name, own), ones, own, **facts)
    served = strategy.served()
    assert served.keys() == ones.keys()
    rests = {n for n in ones if rule == "ffa_lora" and n.endswith("lora_A")}
    for n, values in served.items():
        if n in rests:
            assert not values.any()
        elif name in ("scaffold", "feddyn"):
            np.testing.assert_allclose(values, -0.6, atol=1e-3)
        else:
            assert (values < -0.1).all()
    assert not any(n.partition("/")[2] in rests for n in strategy.state.server)


@pytest.mark.parametrize("other", ["fedavg", "nobody", 3])
def test_only_rules_can_be_named_for_adapters(federate: Federate, other: object) -> None:
    with pytest.raises(ConfigError, match=r"adapters.*no rule for adapters"):
        begun("fedadam", start(), {"adapters": other})


def test_a_value_of_the_rules_yaml_can_be_set_beside_its_name(federate: Federate) -> None:
    rule = {"name": "lora_fair", "ridge": 5.0}
    strategy = begun("fedadam", start(), {"adapters": rule})
    assert (strategy.rule.name, strategy.rule.params.ridge) == ("lora_fair", 5.0)
    with pytest.raises(ConfigError, match="ridge"):
        begun("fedadam", start(), {"adapters": {"name": "lora_fair", "ridge": -1}})
