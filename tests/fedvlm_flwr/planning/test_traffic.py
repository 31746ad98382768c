"""What travels in a round, by algorithm, cohort and tuning."""

from functools import partial

import pytest

from fedvlm_flwr.cli.base import usual_round
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.planning.traffic import traffic

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
