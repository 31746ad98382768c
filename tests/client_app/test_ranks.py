"""The real worker: adapters of a smaller rank, halves at rest, a term beside the base."""

import shlex
from uuid import uuid4

import numpy as np
import pytest
import torch

from client_app.worker import Worker
from fedvlm_flwr.adapters import cut, is_factor
from fedvlm_flwr.config import compose
from fedvlm_flwr.messages import TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.models.parts import read, set_trainable
from fedvlm_flwr.process import this_process

NODE = {"partition-id": 0, "num-partitions": 3}
# Decay and clipping, which could move what has no gradient.
WORDS = ("train.local_steps=3", "train.weight_decay=0.1", "train.max_grad_norm=0.1")


@pytest.fixture
def config(small):
    return compose({"overrides": shlex.join([*small, *WORDS])})


@pytest.fixture
def model(config):
    return this_process().model(config, torch.device("cpu"))


@pytest.fixture
def train(small, simulation):
    """Sends a request to the real worker; the same run in each call."""
    run = uuid4().hex

    def send(arrays, deposits=None, number=1, **facts):
        place = {"client": 0, "stage": 0, "round": number, "run": run, "data": (0,)}
        sent = pack(deposits) if deposits else None
        request = TrainRequest(**place, arrays=pack(arrays), deposits=sent, **facts)
        words = {"overrides": shlex.join([*small, *WORDS])}
        return TrainReply.unpack(Worker(this_process()).train(request.pack(), words, NODE))

    return send


def in_the_model(model, config):
    return read(set_trainable(model.vlm, config.tuning.stages[0]))


def test_what_a_smaller_rank_lacks_stays_exactly_zero(train, model, config):
    sent = cut(model.initial[0], 2)
    reply = train(sent)
    assert {n: v.shape for n, v in reply.arrays.items()} == {n: v.shape for n, v in sent.items()}
    for name, values in in_the_model(model, config).items():
        if is_factor(name):
            rows = values if name.endswith("lora_A") else values.T
            assert rows.shape[0] == 8 and not rows[2:].any(), name
        assert not np.array_equal(reply.arrays[name], sent[name]), f"{name} has not moved"


def test_it_is_the_training_of_an_adapter_of_that_rank(train, model):
    """Its answers are those of the whole adapter whose further columns of B are zeros."""
    sent = cut(model.initial[0], 2)
    whole = {n: v.copy() for n, v in model.initial[0].items()}
    for name, values in whole.items():
        if name.endswith("lora_A"):
            values[2:] = 0
    padded, small = train(whole), train(sent)
    assert padded.metrics.loss == small.metrics.loss
    for name, values in cut(padded.arrays, 2).items():
        np.testing.assert_array_equal(values, small.arrays[name])


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_a_half_at_rest_is_neither_moved_nor_sent(train, model, config, half):
    initial = {n: v + 0.01 if is_factor(n) else v for n, v in model.initial[0].items()}
    moving = {n: v for n, v in initial.items() if not n.endswith(half)}
    resting = {n: v for n, v in initial.items() if n.endswith(half)}
    deposit = {f"{half}/{name}": values for name, values in resting.items()}
    reply = train(moving, deposit, uses=f"{half}:1", resting=half)
    assert reply.arrays.keys() == moving.keys()
    after = in_the_model(model, config)
    for name, values in resting.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    tensors = dict(model.vlm.module.named_parameters())
    assert not [n for n, p in tensors.items() if half in n and p.grad is not None]
    assert all(not np.array_equal(reply.arrays[n], v) for n, v in moving.items())
    again = train(moving, uses=f"{half}:1", resting=half)
    for name, values in reply.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values, err_msg="it has the half still")


def test_a_term_beside_the_base_counts_and_leaves_nothing_behind(train, model):
    arrays = model.initial[0]
    draw = np.random.default_rng(0)
    factors = {n: v for n, v in arrays.items() if is_factor(n)}
    parts = [
        {n: draw.normal(size=v.shape).astype(np.float32) / 10 for n, v in factors.items()}
        for _ in range(2)
    ]
    one, two = ({f"residual.{k}/{n}": v for n, v in parts[k - 1].items()} for k in (1, 2))
    plain = train(arrays)
    first = train(arrays, one, uses="residual.1:1")
    both = train(arrays, two, uses="residual.1:1 residual.2:2")
    losses = [each.metrics.loss for each in (plain, first, both)]
    assert len(set(losses)) == 3
    assert train(arrays, uses="residual.1:1 residual.2:2").metrics.loss == losses[2]
    again = train(arrays)
    for name, values in plain.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values, err_msg=name)
