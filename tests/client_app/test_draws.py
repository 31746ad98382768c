"""What a round reads, tokenizes and encodes, counted; and that a step never waits for a device."""

import shlex
from collections import Counter
from itertools import count

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import masking_utils

from client_app import worker
from client_app.worker import Worker
from fedvlm_flwr.config import compose
from fedvlm_flwr.data import clients
from fedvlm_flwr.errors import DivergedError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.process import Process

pytestmark = pytest.mark.usefixtures("simulation")

STEPS, BATCH = 2, 4
DRAWS = f"train.local_epochs=null train.local_steps={STEPS} train.batch_size={BATCH}"
# A share of 400 pictures, and room for the features of fewer pictures than that.
SHARE = "num_clients=1 dataset.train_pictures=400"
ROOM = "engine.feature_megabytes=0.1 engine.features_on_disk=false"


@pytest.fixture
def counts(monkeypatch):
    """How many pictures are decoded and encoded, and questions read and tokenized."""
    counts: Counter[str] = Counter()
    features, encode = Llava.features, Llava.encode
    read, check = clients.examples, clients.check_pictures

    def counted_features(vlm, images):
        counts["encoded"] += len(images)
        return features(vlm, images)

    def counted_encode(vlm, *args, **more):
        counts["tokenized"] += 1
        return encode(vlm, *args, **more)

    def counted_read(*args, **more):
        rows = read(*args, **more)
        counts["read"] += len(rows)
        return rows

    def counted_check(records, *more):
        records = list(records)
        counts["decoded"] += len({path for one in records for path in one.images})
        check(records, *more)

    monkeypatch.setattr(Llava, "features", counted_features)
    monkeypatch.setattr(Llava, "encode", counted_encode)
    monkeypatch.setattr(clients, "examples", counted_read)
    monkeypatch.setattr(clients, "check_pictures", counted_check)
    return counts


def trained(process, words):
    run_config = {"overrides": shlex.join(words)}
    model = process.model(compose(run_config), torch.device("cpu"))
    place = {"client": 0, "stage": 0, "round": 1, "run": "0" * 32}
    arrays = pack(model.initial[0])
    content = TrainRequest(**place, arrays=arrays, extra=arrays, data=(0,)).pack()
    node = {"partition-id": 0, "num-partitions": 1}
    return Worker(process).train(content, run_config, node)["metrics"]


def test_a_round_touches_what_it_draws_and_nothing_else(small, counts):
    metrics = trained(Process(), [*small, *f"{SHARE} {DRAWS} {ROOM}".split()])
    assert metrics["num_examples"] >= 400
    assert metrics["examples_seen"] == STEPS * BATCH
    assert counts["read"] == counts["tokenized"] == STEPS * BATCH
    assert counts["encoded"] == counts["decoded"] <= STEPS * BATCH


# What makes the CPU wait for a GPU: a number is read, or what a mask selects is counted.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "masked_scatter_backward", "equal"}


class Waits(TorchDispatchMode):
    """Counts the operations of a step that would wait, where there is a GPU."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "words",
    ["algorithm=scaffold tuning=f_cl", "model=tiny_showo tuning=f_l"],
    ids=["llava", "showo"],
)
def test_no_step_waits_for_the_device(small, monkeypatch, words):
    """Without dropout, which a CPU draws in another way.

    transformers looks once in a forward pass whether a row is several packed ones; that it stays.
    """
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda positions: None)
    waits = Waits()
    local = worker.train_locally

    def watched(*args):
        with waits:
            return local(*args)

    monkeypatch.setattr(worker, "train_locally", watched)
    words = [*words.split(), "num_clients=3", "tuning.lora.dropout=0", *DRAWS.split()]
    words.append("engine.features_on_disk=false")  # reading a file reads numbers, of the CPU
    assert trained(Process(), [*small, *words])["steps"] == STEPS
    assert waits.counts == {}


@pytest.mark.parametrize(("call", "step"), [(1, 0), (2, 1), (3, 1)])
def test_a_loss_that_is_not_finite_is_refused_with_its_step(small, monkeypatch, call, step):
    """Each batch of a step counts, not its last one only."""
    real, calls = Llava.loss, count()

    def loss(*args):
        return real(*args) * (float("nan") if next(calls) == call else 1.0)

    monkeypatch.setattr(Llava, "loss", loss)
    words = [*DRAWS.split(), "train.accumulation=2", "num_clients=3"]
    with pytest.raises(DivergedError, match=f"^The loss is nan at local step {step}; lower train"):
        trained(Process(), [*small, *words])
