"""What is estimated and promised of a GPU's memory, on a GPU."""

import json
import shlex

import pytest
import torch

from client_app.worker import Worker
from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.planning.memory import CUDA_CONTEXT
from fedvlm_flwr.process import this_process

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

# Batches that make activations weigh more than the allocator's blocks and cuBLAS's workspace.
LARGE = ("engine.device=cuda", "train.batch_size=512", "eval.batch_size=1024")
BLOCKS = 100_000_000  # bytes of both


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_the_estimate_is_near_what_torch_has_used(small, capsys, precision, checkpointing):
    more = (f"train.precision={precision}", f"train.gradient_checkpointing={checkpointing}")
    words = ["plan", "--measure", "--format", "json", *small, *LARGE, *more]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    guess = next(
        e for e in found["estimates"] if e["gradient_checkpointing"] == (checkpointing == "true")
    )
    measured = found["measured"]
    for peak, total in (
        (measured["training"][0], guess["to_train"]),
        (measured["answering"], guess["to_answer"]),
    ):
        estimated = total - CUDA_CONTEXT
        assert peak["allocated"] < estimated + BLOCKS
        assert peak["allocated"] > 0.6 * estimated - BLOCKS


def test_a_full_gpu_fails_one_client_and_serves_the_next(small, simulation):
    plain = {"overrides": shlex.join([*small, "engine.device=cuda"])}
    # More examples too, or a batch would be as large as all that the client has.
    more = ("engine.device=cuda", "train.batch_size=512", "dataset.train_pictures=240")
    large = {"overrides": shlex.join([*small, *more])}
    model = this_process().model(compose(plain), torch.device("cuda"))
    place = {"client": 0, "stage": 0, "round": 1, "run": "0" * 32}
    content = TrainRequest(**place, arrays=pack(model.initial[0]), data=(0,)).pack()
    node = {"partition-id": 0, "num-partitions": 3}
    worker = Worker(this_process())
    worker.train(content, plain, node)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_reserved() + BLOCKS
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        with pytest.raises(RunError, match="The GPU ran out of memory in training when"):
            worker.train(content, large, node)
        assert torch.cuda.memory_allocated() <= before + 1_000_000
        assert worker.train(content, plain, node)["metrics"]["steps"] == 3
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
