"""The estimate of memory against real training and answering, seen tensor by tensor."""

import shlex
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn

from fedvlm_flwr.cli.base import start_hooks, try_out
from fedvlm_flwr.config import compose
from fedvlm_flwr.evaluation.answers import generate_answers
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.footprint import hook_bytes
from fedvlm_flwr.planning.live_bytes import LiveBytes
from fedvlm_flwr.planning.measure import each_with_a_picture, longest_example
from fedvlm_flwr.planning.memory import Estimator, Lengths
from fedvlm_flwr.process import this_process

LENGTHS = Lengths(text=120, answer=16)
# The fused dropout of a GPU keeps a byte a number, that of a CPU four.
BASE = ("eval.batch_size=32", "tuning.lora.dropout=0")


def config_of(*overrides):
    return compose({"overrides": shlex.join([*overrides, *BASE])})


@pytest.fixture
def longest(small, tmp_path):
    picture = tmp_path / "picture.png"
    Image.effect_noise((64, 64), 64).convert("RGB").save(picture)
    model = this_process().model(config_of(*small), torch.device("cpu"))
    return longest_example(model.vlm, picture, LENGTHS)


def test_the_longest_example_is_as_long_as_asked(small, longest):
    model = this_process().model(config_of(*small), torch.device("cpu"))
    row = model.vlm.encode(longest.question, longest.answer)
    assert len(row.answer_ids) == LENGTHS.answer
    assert len(row.prompt_ids) + len(row.answer_ids) == LENGTHS.text


@pytest.mark.parametrize(
    "overrides",
    [
        ("tuning=f_cl", "train.gradient_checkpointing=true", "train.batch_size=16"),
        ("tuning=f_l", "train.precision=bfloat16", "algorithm=scaffold", "train.optimizer=sgd"),
        ("tuning=full_connector_llm",),
    ],
    ids=" ".join,
)
def test_real_steps_take_little_less_than_estimated(small, longest, overrides):
    config = config_of(*small, "train.batch_size=8", *overrides)
    model = this_process().model(config, torch.device("cpu"))
    model.features.encode(longest.images)
    weights = [*model.vlm.module.parameters(), *model.vlm.module.buffers()]
    with LiveBytes(weights) as training:
        try_out(config, model, 0, [longest] * config.train.batch_size)
    questions = each_with_a_picture(longest, config.eval.batch_size)
    model.features.encode([picture for one in questions for picture in one.images])
    with LiveBytes(weights) as answering:
        generate_answers(model, questions, config.eval)

    estimator = Estimator(
        adapted_skeleton(config),
        LENGTHS,
        lambda stage, given: hook_bytes(given, given, partial(start_hooks, config)),
    )
    found = estimator.estimate(config, 0)
    # The estimate has masks and a prompt as long as the text, answer included; the model has not.
    to_train = sum(found.training.values()) - found.training["fragmentation"]
    assert training.peak < to_train < 1.15 * training.peak
    to_answer = sum(found.answering.values()) - found.answering["fragmentation"]
    # The adapters of small models lie in their layers while they answer, which takes less.
    assert answering.peak < to_answer < 1.35 * answering.peak


def test_an_algorithms_tensors_are_counted_without_weights():
    parameters = {
        "connector.weight": nn.Parameter(torch.empty(6, 5, device="meta")),
        "llm.lora_A": nn.Parameter(torch.empty(2, 5, device="meta")),
    }

    def kept(algorithm):
        start = partial(start_hooks, config_of(f"algorithm={algorithm}"))
        return hook_bytes(parameters, parameters, start) / 40

    assert kept("fedavg") == 0
    assert kept("fedprox") == 4  # the round's tensors
    assert kept("scaffold") == 4 + 8  # the correction, and sums in float64
