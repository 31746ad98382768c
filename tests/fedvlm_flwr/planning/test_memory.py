"""The estimate of a process's memory, and what fits on a card."""

from dataclasses import replace
from functools import cache

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.planning.cards import Fit, fit, need
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.memory import CUDA_CONTEXT, FRAGMENTATION, Estimator, Lengths
from tests.hf_tiny import FAMILIES

LENGTHS = Lengths(text=100, answer=10)
MB = 1_000_000


def config_of(*overrides):
    return compose({"overrides": " ".join(["eval.batch_size=16", *overrides])})


@cache
def skeleton_of(model, tuning):
    """What settings of training and answering do not change."""
    return adapted_skeleton(config_of(f"model.dtype={model}", f"tuning={tuning}"))


def estimator_of(config, of_algorithm=lambda stage, parameters: 0, lengths=LENGTHS):
    skeleton = skeleton_of(config.model.params.dtype, config.tuning.name)
    return Estimator(skeleton, lengths, of_algorithm)


def estimated(*overrides):
    config = config_of(*overrides)
    return estimator_of(config).estimate(config, 0)


@pytest.fixture(scope="module")
def plain():
    """The shipped tiny model: 72,064 trained numbers, 1,328,000 frozen ones, all float32."""
    return estimated()


def test_weights_gradients_and_moments_are_counted_number_by_number(plain):
    assert plain.resident["trained weights"] == plain.training["gradients"] == 4 * 72_064
    assert plain.training["optimiser state"] == 2 * 4 * 72_064
    buffers = 4 * 32 // 2 + 8 * 17  # frequencies of the rotation, numbers of the patches
    assert plain.resident["frozen weights"] - 4 * (1_400_064 - 72_064) <= 4 * buffers
    assert estimated("train.optimizer=sgd").training["optimiser state"] == 0


def test_the_sums_are_those_of_their_parts(plain):
    resident = sum(plain.resident.values())
    assert plain.to_train == resident + sum(plain.training.values())
    assert plain.to_answer == resident + sum(plain.answering.values())
    assert plain.needed == max(plain.to_train, plain.to_answer)
    assert plain.resident["CUDA context"] == CUDA_CONTEXT
    come_and_go = plain.answering["key/value cache"] + plain.answering["working memory"]
    assert plain.answering["fragmentation"] == int(FRAGMENTATION * come_and_go)


def test_half_the_batch_keeps_half_the_activations(plain):
    half = estimated("train.batch_size=16")
    for line in ("activations of the LLM", "activations of the connector"):
        assert half.training[line] == pytest.approx(plain.training[line] / 2, rel=0.01)


def test_a_frozen_connector_keeps_nothing():
    found = estimated("tuning=f_l")
    assert found.training["activations of the connector"] == 0
    assert found.resident["trained weights"] == 4 * 39_040


def test_bfloat16_weights_weigh_half(plain):
    half = estimated("model.dtype=bfloat16")
    weighed = half.resident["frozen weights"] / plain.resident["frozen weights"]
    assert weighed == pytest.approx(0.5, abs=0.001)
    assert half.resident["trained weights"] == plain.resident["trained weights"]


def test_a_4bit_base_weighs_its_nibbles_and_scales(plain):
    four = estimated("model.quantize=4bit")
    # 2 layers of q, k, v, o (128 x 128) and gate, up, down (128 x 344).
    numbers = 2 * (4 * 128 * 128 + 3 * 128 * 344)
    constants = 14 * 4 * 16
    saved = plain.resident["frozen weights"] - four.resident["frozen weights"]
    assert saved == 4 * numbers - (numbers // 2 + 4 * numbers // 64 + constants)


def test_what_is_quantised_is_not_trained_in_full():
    with pytest.raises(ConfigError, match="tuning=full_llm"):
        estimated("model.quantize=4bit", "tuning=full_llm")


def test_the_step_of_a_large_optimiser_is_the_fullest_moment():
    config = config_of("tuning=full_llm", "train.batch_size=1")
    estimator = estimator_of(config, lengths=Lengths(text=4, answer=1))
    found = estimator.estimate(config, 0)
    lines = ("activations of the LLM", "logits of the answers", "working memory")
    assert sum(found.training[line] for line in lines) == found.resident["trained weights"]


def test_the_algorithms_own_tensors_count():
    config = config_of("tuning=f_2stage")
    estimator = estimator_of(config, lambda stage, parameters: (stage + 1) * len(parameters))
    lines = [estimator.estimate(config, s).training["algorithm's tensors"] for s in (0, 1)]
    assert lines == [4, 2 * 28]  # two layers of the connector; A and B of 14 layers


def test_as_many_clients_fit_as_are_left_room_by_the_server():
    config = config_of()
    estimator = estimator_of(config)
    wanted = need(config, estimator)
    assert wanted.server == wanted.to_answer
    for clients, share in ((1, 1.0), (3, 0.333), (7, 0.142), (20, 0.125)):
        card = wanted.server + clients * wanted.client
        found = fit(card, config, estimator)
        assert (found.clients, found.gpus_per_client) == (min(clients, 8), share)
        assert found.changes == ()
    assert fit(wanted.least - 1, config, estimator).clients == 0


def test_in_one_process_there_is_no_other_server():
    config = config_of("engine=inprocess")
    estimator = estimator_of(config)
    wanted = need(config, estimator)
    assert wanted.server == 0
    assert fit(wanted.client, config, estimator).clients == 1


def test_the_changes_for_a_small_card_make_it_fit():
    config = config_of("eval.batch_size=256", "train.batch_size=64")
    estimator = estimator_of(config)
    assert need(config, estimator).least > 1600 * MB
    card = 1300 * MB
    found = fit(card, config, estimator)
    assert found.clients == 0 and found.changes and found.changed.least <= card
    changed = config_of("eval.batch_size=256", "train.batch_size=64", *found.changes)
    assert need(changed, estimator_of(changed)) == found.changed
    steps = changed.train.batch_size * changed.train.accumulation
    assert steps == config.train.batch_size * config.train.accumulation


def test_a_card_that_is_too_small_whatever_is_changed():
    config = config_of("engine=inprocess")
    found = fit(CUDA_CONTEXT, config, estimator_of(config))
    assert (found.clients, found.gpus_per_client, found.changes) == (0, None, ())
    assert CUDA_CONTEXT < found.changed.client < need(config, estimator_of(config)).client
    assert isinstance(found, Fit)


def test_the_stage_that_takes_most_decides():
    config = config_of("tuning=f_2stage", "engine=inprocess")
    estimator = estimator_of(config)
    each = [estimator.estimate(config, stage).to_train for stage in (0, 1)]
    assert need(config, estimator).to_train == max(each) and each[0] != each[1]


def test_settings_may_change_on_the_same_skeleton():
    config = config_of("train.batch_size=8")
    estimator = estimator_of(config)
    larger = replace(config, train=replace(config.train, batch_size=16))
    assert estimator.estimate(larger, 0) == estimated("train.batch_size=16")
    assert estimator.estimate(config, 0) == estimated("train.batch_size=8")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_transformers_can_be_planned(family, hf_checkpoint):
    config = config_of("model=hf_vlm", f"model.checkpoint={hf_checkpoint(family)}", "tuning=f_cl")
    skeleton = adapted_skeleton(config)
    estimate = Estimator(skeleton, LENGTHS, lambda stage, parameters: 0).estimate(config, 0)
    assert estimate.training["activations of the connector"] > 0
    assert (
        estimate.training["activations of the LLM"] > estimate.training["logits of the answers"] > 0
    )
    assert estimate.answering["key/value cache"] > 0
    # Only Llama 3.2 Vision has pictures beside the text: 4 tiles of 4 x 4 patches and one more.
    assert skeleton.image_states == (4 * 17 if family == "mllama" else 0)
