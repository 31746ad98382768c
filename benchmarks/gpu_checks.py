"""That a device computes what the CPU does: losses, a run with SCAFFOLD, resuming, no memory left.

The models are the tiny ones that travel with the package, without dropout, which each device draws
by itself.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from flwr.app import RecordDict
from safetensors.numpy import load_file

from benchmarks.gpu_measures import steps
from benchmarks.gpu_models import example
from client_app.local import draw, train_locally
from client_app.worker import Worker
from fedvlm_flwr.cli import main as fedvlm
from fedvlm_flwr.config import Scalar
from fedvlm_flwr.errors import OutOfMemory
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.models.out_of_memory import explaining
from fedvlm_flwr.planning.memory import Lengths
from fedvlm_flwr.process import Process
from strategies.core.client_hook import ClientHook

CPU = torch.device("cpu")
STEPS = 4
LOSS, WEIGHT = 1e-3, 1e-4  # what may differ: nats; numbers of a checkpoint, of steps of SGD
TINY = ("tiny_llava", "tiny_showo")
SMALL = (
    "experiment=smoke",
    "engine=inprocess",
    "engine.threads=1",
    "tuning=f_l",
    "wire.dtype=float32",
    "tuning.lora.dropout=0",
    "algorithm=scaffold",
    "dataset.train_pictures=12",
    "dataset.test_pictures=3",
    "eval.shuffled=false",
    "num_clients=2",
    "train.local_steps=2",
    "train.optimizer=sgd",
    "train.lr=0.05",
    "eval.max_examples=2",
)
HUGE = 2**58  # numbers: more than any machine has room for


def losses(model: str, device: torch.device) -> float:
    """The mean loss of some steps on the first records."""
    words = [f"model={model}", *SMALL]
    process = Process()
    config = process.compose({"overrides": " ".join(words)})
    resident = process.model(config, device)
    records = process.examples_of(config, 0)
    picks = draw(len(records), config.train, STEPS, np.random.default_rng(0))
    draws = [[records[i] for i in pick] for pick in picks]
    parameters = resident.place(0, resident.initial[0], {})
    lr = config.train.lr
    return train_locally(resident, parameters, draws, config.train, lr, ClientHook(None)).loss


def shared(folder: Path, *words: str) -> dict[str, np.ndarray]:
    """What a run's last checkpoint holds.

    Raises:
        RuntimeError: the run failed.
    """
    if fedvlm(["run", *words]) != 0:
        raise RuntimeError(f"the run {' '.join(words)} failed")
    checkpoints = sorted(folder.glob("*/checkpoints/*.safetensors"))
    return load_file(checkpoints[-1])


def moved(checkpoint: dict[str, np.ndarray]) -> float:
    """How far an adapter's B, which starts at zero, has come at most."""
    return max(float(np.abs(v).max()) for name, v in checkpoint.items() if name.endswith("lora_B"))


def far(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference of two checkpoints' numbers.

    Raises:
        RuntimeError: they do not hold the same tensors.
    """
    if one.keys() != other.keys():
        raise RuntimeError(f"the checkpoints differ in {sorted(one.keys() ^ other.keys())}")
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def scaffold(device: torch.device) -> tuple[float, float]:
    """How far a run with SCAFFOLD on the device is from the CPU's, and one resumed from a whole."""
    with tempfile.TemporaryDirectory(prefix="gpu-checks-") as name:
        folder = Path(name)
        words, on = [*SMALL, "num_rounds=2"], f"engine.device={device}"
        cpu = shared(folder / "cpu", *words, "engine.device=cpu", f"output_dir={folder / 'cpu'}")
        whole = shared(folder / "whole", *words, on, f"output_dir={folder / 'whole'}")
        begun = folder / "begun"
        with patch.object(Worker, "train", _interrupted):
            fedvlm(["run", *words, on, f"output_dir={begun}"])
        (run,) = (path.parent for path in begun.glob("*/checkpoints"))
        if moved(cpu) < 10 * WEIGHT:
            raise RuntimeError(f"the run has moved nothing by more than {moved(cpu):.2g}")
        return far(cpu, whole), far(whole, shared(begun, f"resume={run}"))


TRAIN = Worker.train


def _interrupted(worker: Worker, content: RecordDict, *configs: Mapping[str, Scalar]) -> RecordDict:
    """Trains as ever, until somebody presses Ctrl-C in the second round."""
    if TrainRequest.unpack(content).round == 2:
        raise KeyboardInterrupt
    return TRAIN(worker, content, *configs)


def survives_a_full_device(device: torch.device) -> str:
    """The sentence of a step that does not fit; another step after it must succeed."""
    process = Process()
    config = process.compose({"overrides": " ".join(SMALL)})
    model = process.model(config, device)

    def too_much() -> float:
        torch.empty(HUGE, device=device)
        return 0.0

    with tempfile.TemporaryDirectory() as folder:
        one = example(model, Path(folder), Lengths(40, 8))
        try:
            explaining("training", lambda: config, too_much)
        except OutOfMemory as error:
            sentence = str(error)
        steps(model, config, one, 1)
    return sentence


def check(device: torch.device) -> dict[str, float | str]:
    """All of it.

    Raises:
        RuntimeError: something is further from the CPU than it may be.
    """
    report: dict[str, float | str] = {}
    for model in TINY:
        here, there = losses(model, CPU), losses(model, device)
        report[f"loss of {model} on the CPU"] = here
        report[f"loss of {model} on the device"] = there
        _within(f"the loss of {model}", abs(here - there), LOSS)
    apart, resumed = scaffold(device)
    report |= {"scaffold: largest difference": apart, "resumed: largest difference": resumed}
    _within("SCAFFOLD's result", apart, WEIGHT)
    _within("a resumed run", resumed, WEIGHT)
    report["out of memory"] = survives_a_full_device(device)
    return report


def _within(what: str, difference: float, most: float) -> None:
    if not difference <= most:
        raise RuntimeError(f"{what} is {difference:.2g} from the CPU's, more than {most:g}")
