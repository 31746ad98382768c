"""Running out of memory: the client fails with a sentence, its process serves the next one."""

import shlex
import weakref

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, RecordDict

from client_app.oom import leaves_no_gradients
from client_app.worker import Worker
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation.evaluator import SAMPLE
from fedvlm_flwr.messages import AnswersRequest, ScoresRequest, TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.process import this_process

pytestmark = pytest.mark.usefixtures("simulation")

NODE = {"partition-id": 0, "num-partitions": 3}
HUGE = 2**58  # numbers: more than any machine has room for


@pytest.fixture
def model(small):
    return this_process().model(compose(run_config(small)), torch.device("cpu"))


def run_config(small, *more):
    return {"overrides": shlex.join([*small, *more])}


def content(model, client=0) -> RecordDict:
    arrays = pack(model.initial[0])
    place = {"client": client, "stage": 0, "round": 1, "run": "0" * 32, "arrays": arrays}
    return TrainRequest(**place, data=(client,)).pack()


def scores_content(model) -> RecordDict:
    place = {"client": 0, "stage": 0, "round": 1, "run": "0" * 32}
    return ScoresRequest(**place, arrays=pack(model.initial[0]), full=True).pack()


def answers_content(model) -> RecordDict:
    none = ArrayRecord()
    part = {"what": SAMPLE, "part": 0, "parts": 2}
    arrays = {"arrays": pack(model.initial[0]), "previous": none, "residual": none}
    return AnswersRequest(stage=0, **part, **arrays).pack()


class OutOfMemory:
    """Stands before `Llava.loss` and runs out of memory at its second call."""

    def __init__(self, error=None):
        self.real, self.error, self.calls = Llava.loss, error, 0
        self.graphs = []

    def __call__(self, vlm, features, batch):
        self.calls += 1
        loss = self.real(vlm, features, batch)
        if self.calls == 2:
            held = loss * torch.ones(1000)
            self.graphs.append(weakref.ref(held))
            if self.error is not None:
                raise self.error
            torch.empty(HUGE)
        return loss


@pytest.fixture
def shortage(monkeypatch):
    def install(error=None):
        found = OutOfMemory(error)
        # A function, unlike an object of a class with __call__, is bound to the model.
        monkeypatch.setattr(Llava, "loss", lambda *given: found(*given))  # noqa: PLW0108
        return found

    return install


def test_a_gpu_that_is_full_fails_the_client_and_not_the_process(small, model, shortage):
    full = shortage(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"))
    worker, loads = Worker(this_process()), this_process().model_loads
    with pytest.raises(RunError) as caught:
        worker.train(content(model), run_config(small), NODE)
    assert str(caught.value) == (
        "The GPU ran out of memory in training when 2.00 GiB more were wanted; lower "
        "train.batch_size (now 8) or set train.gradient_checkpointing=true or set "
        "model.quantize=4bit or raise engine.gpus_per_client (now 0) so that fewer clients share "
        "it (`fedvlm plan` estimates what fits)."
    )
    assert full.graphs[0]() is None, "activations outlive the failure"
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert all(parameter.grad is None for parameter in model.vlm.module.parameters())
    worker.answers(answers_content(model), run_config(small), NODE)
    assert not model.vlm.module.training
    reply = worker.train(content(model, client=1), run_config(small), {**NODE, "partition-id": 1})
    assert reply["metrics"]["steps"] == 3
    assert this_process().model_loads == loads


def test_in_a_federation_the_client_is_reported_and_the_others_go_on(start, shortage):
    shortage(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    folder = start("min_replies=2", "num_rounds=1", "eval.shuffled=false")
    lines = list(folder.lines("metrics.jsonl"))
    (failed,) = [line for line in lines if line["metric"] == "failure"]
    assert failed["round"] == 1 and failed["where"].startswith("client:")
    assert failed["value"].startswith("The GPU ran out of memory in training when 2.00 GiB more")
    assert sum(line["metric"] == "steps" for line in lines) == 2


def test_the_next_client_trains_as_if_nothing_had_happened(small, model, shortage):
    worker = Worker(this_process())
    expected = unpack(worker.train(content(model), run_config(small), NODE)["arrays"])
    shortage(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RunError):
        worker.train(content(model), run_config(small), NODE)
    after = unpack(worker.train(content(model), run_config(small), NODE)["arrays"])
    for name, values in expected.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_a_machine_without_memory_says_so_too(small, model, shortage):
    shortage()  # the CPU's allocator really refuses
    with pytest.raises(
        RunError, match="machine ran out of memory in training when 115292150460684"
    ):
        Worker(this_process()).train(content(model), run_config(small), NODE)


def test_other_errors_go_through(small, model, shortage):
    shortage(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Worker(this_process()).train(content(model), run_config(small), NODE)


@pytest.mark.parametrize(
    ("work", "content_of"), [(Worker.evaluate, scores_content), (Worker.answers, answers_content)]
)
def test_answering_names_its_own_batch(small, model, monkeypatch, work, content_of):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(Llava, "generate", full)
        with pytest.raises(
            RunError, match=r"memory in answering; lower eval.batch_size \(now 128\)"
        ):
            work(Worker(this_process()), content_of(model), run_config(small), NODE)
    assert work(Worker(this_process()), content_of(model), run_config(small), NODE)


def test_local_training_leaves_no_gradients(small, model):
    Worker(this_process()).train(content(model), run_config(small), NODE)
    assert all(parameter.grad is None for parameter in model.vlm.module.parameters())


def test_what_trains_keeps_its_result_and_arguments(model):
    parameters = {"a": torch.nn.Parameter(torch.ones(2))}

    @leaves_no_gradients
    def train(given, found, factor, *, more):
        (found["a"].sum() * factor).backward()
        return given, found["a"].grad.tolist(), more

    assert train(model, parameters, 3, more=4) == (model, [3.0, 3.0], 4)
    assert parameters["a"].grad is None
