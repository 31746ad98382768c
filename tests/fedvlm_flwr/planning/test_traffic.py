"""What travels in a round, by algorithm, cohort and tuning."""

import math
from functools import partial

import pytest

from fedvlm_flwr.cli.base import usual_round
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages.wire import unpack
from fedvlm_flwr.planning.traffic import traffic, zeros
from fedvlm_flwr.plugins import available
from strategies import load_strategy
from strategies.core.federation import Federation
from tests.facts import declared

TRAINED = {"connector.linear_1.weight": (4, 3), "llm.layers.0.q_proj.lora_A": (2, 4)}


def told(*overrides, trained=TRAINED):
    config = compose({"overrides": " ".join(overrides)})
    return traffic(trained, partial(usual_round, config, 0))


def test_all_that_is_trained_goes_both_ways_to_everyone():
    found = told("num_clients=5")
    (each,) = found.messages
    assert (found.shared, found.extra, found.once) == (TRAINED, {}, {})
    assert (each.rank, each.clients) == (None, 5)
    assert [record for record in (*each.down, *each.up) if record] == [TRAINED, TRAINED]


def test_control_variates_are_as_large_as_what_is_shared():
    found = told("algorithm=scaffold", "clients_per_round=3")
    (each,) = found.messages
    assert found.extra == found.shared == TRAINED
    assert [record for record in (*each.down, *each.up) if record] == [TRAINED] * 4
    assert each.clients == 3


def test_private_parts_stay():
    assert list(told("tuning=share_lora").shared) == ["llm.layers.0.q_proj.lora_A"]
    assert list(told("tuning=share_connector").shared) == ["connector.linear_1.weight"]
    assert told("algorithm=local").shared == {}


def test_the_pooled_baseline_is_one_client():
    assert [each.clients for each in told("algorithm=central").messages] == [1]


def test_shapes_of_any_size_take_no_room():
    huge = {"llm.weight": (10**6, 10**6)}
    assert told(trained=huge).shared == huge


def test_what_the_algorithm_refuses_is_refused_here():
    with pytest.raises(ConfigError, match="fedmedian keeps all 8 replies"):
        told("algorithm=fedmedian", trained={"llm.weight": (10**6, 10**6)})


ALL = available("strategies")
MIXED_RANKS = declared("tests.strategies", ALL, "MIXED_RANKS")
ADAPTER = {
    "connector.linear_1.weight": (4, 3),
    "llm.q.lora_A": (8, 60),
    "llm.q.lora_B": (50, 8),
}
SIZES = {"connector": 12, "A": 8 * 60, "B": 8 * 50}


def numbers(*records):
    return sum(math.prod(shape) for record in records for shape in record.values())


@pytest.mark.parametrize("name", ALL)
def test_a_clients_first_message_is_what_is_told_and_so_is_what_it_has_to_send(name):
    """But for the terms beside the base, of which there are none before the first round."""
    ranks = "[2,4,8]" if name in MIXED_RANKS else "null"
    words = f"algorithm={name} num_clients=6 tuning.lora.rank_of={ranks} "
    words += "max_weight_share=null weighting=uniform"
    config = compose({"overrides": words})
    sent = told(*words.split(), trained=ADAPTER)
    by_rank = {each.rank: each for each in sent.messages}
    assert sorted(by_rank, key=lambda rank: rank or 0) == ([2, 4, 8] if ranks != "null" else [None])
    strategy = load_strategy(config.algorithm, Federation.of(config))
    strategy.begin(zeros(ADAPTER))
    requests = strategy.open_round(1)
    assert sum(each.clients for each in sent.messages) == len(requests)
    for client, request in requests.items():
        each = by_rank[strategy.rule.rank_of(strategy.state, client)]
        records = (request.arrays, request.deposits, request.extra)
        real = [unpack(record) for record in records if record is not None]
        part = numbers(each.deposits) if strategy.rule.leaves_residual else 0
        first = numbers(*({n: v.shape for n, v in arrays.items()} for arrays in real))
        assert first == numbers(*each.down, each.deposits) - part + numbers(sent.once)
        expected = strategy.expected(client, 1), strategy.expected_extra()
        assert numbers(*each.up) == sum(v.size for arrays in expected for v in arrays.values())


@pytest.mark.parametrize(
    ("name", "down", "up", "once"),
    [
        ("fedit", "connector A B", "connector A B", ""),
        ("ffa_lora", "connector B", "connector B", "A"),
        ("rolora", "connector B", "connector B", "A"),
        ("fedsa_lora", "connector A", "connector A", ""),
        ("flexlora", "connector A B", "connector A B", ""),
        ("lora_fair", "connector A B", "connector A B", ""),
        ("hetlora", "connector A B", "connector A B", ""),
        ("ditto", "connector A B", "connector A B", ""),
        ("fedex_lora", "connector A B A B A B", "connector A B", ""),  # 2 r more: 3 clients
        ("flora", "connector A B A B A B A B", "connector A B", ""),  # 3 r more
    ],
)
def test_what_each_rule_for_adapters_sends_in_a_usual_round(name, down, up, once):
    sent = told(f"algorithm={name}", "num_clients=3", trained=ADAPTER)
    (each,) = sent.messages

    def of(words):
        return sum(SIZES[word] for word in words.split())

    assert (numbers(*each.down, each.deposits), numbers(*each.up), numbers(sent.once)) == (
        of(down),
        of(up),
        of(once),
    )


def test_each_rank_is_told_by_itself():
    sent = told("algorithm=flora", "num_clients=4", "tuning.lora.rank_of=[2,8]", trained=ADAPTER)
    low, high = sent.messages
    assert (low.rank, low.clients, high.rank, high.clients) == (2, 2, 8, 2)
    assert numbers(*high.up) == 12 + 8 * 110 and numbers(*low.up) == 12 + 2 * 110
    part = (2 + 8 + 2 + 8) * 110
    assert numbers(*high.down) == 12 + 8 * 110 and numbers(*low.down) == 12 + 2 * 110
    assert numbers(high.deposits) == numbers(low.deposits) == part
