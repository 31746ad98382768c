"""What `gpu.py` measures: the local step, its memory, answering, several processes on one card."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_models import built, configured, example, tokens_of
from client_app.local import train_locally
from fedvlm_flwr.cli.plan import estimator_of
from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import OutOfMemory
from fedvlm_flwr.models.out_of_memory import explaining
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.memory import CPU, CUDA_CONTEXT, Lengths
from strategies.core.client_hook import ClientHook

# Dense bfloat16 products a second as the makers tell them, by a part of the card's name.
PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}
Row = dict[str, Any]


def steps(model: Resident, config: Config, one: Example, count: int) -> float:
    """Some real optimizer steps on batches of one example; the seconds of each.

    The local loop reads its losses when all are done, so that the device is done too.
    """
    batch = [one] * config.train.batch_size
    parameters = model.place(0, model.initial[0], {})
    began = time.monotonic()
    train_locally(model, parameters, [batch] * count, config.train, 1e-4, ClientHook(None))
    return (time.monotonic() - began) / count


def flops(model: Resident, config: Config, one: Example) -> int:
    """Floating point operations of a step on one example, forward and backward, nothing twice.

    Counted by torch in the step itself: of frozen weights no gradient is made, so none counts.
    """
    settings = replace(config.train, batch_size=1, gradient_checkpointing=False)
    steps(model, replace(config, train=settings), one, 1)  # its picture is encoded here
    with FlopCounterMode(display=False) as counter:
        steps(model, replace(config, train=settings), one, 1)
    return int(counter.get_total_flops())


def peak_of(device: torch.device) -> float | None:
    """Products a second that a card can do; None: it is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def training(model: Resident, config: Config, lengths: Lengths, options: Namespace) -> Row:
    """Tokens a second and memory of the local step at one setting."""
    device, skeleton = model.vlm.device, adapted_skeleton(config)
    row: Row = {
        "model": config.model.name,
        "batch": config.train.batch_size,
        "checkpointing": config.train.gradient_checkpointing,
        "quantize": config.model.params.quantize,
    }
    estimator = estimator_of(config, skeleton, lengths)
    estimator = estimator if device.type == "cuda" else estimator.on(CPU)
    row["estimated_gb"] = estimator.estimate(config, 0).to_train / 1e9
    with tempfile.TemporaryDirectory() as folder:
        one = example(model, Path(folder), lengths)
        steps(model, config, one, 2)
        _reset_peak(device)
        seconds = [steps(model, config, one, options.steps) for _ in range(options.times)]
    tokens = config.train.batch_size * tokens_of(model, one, skeleton.image_tokens)
    middle = statistics.median(seconds)
    row |= {
        "peak_gb": _peak(device) / 1e9,
        "tokens_per_second": tokens / middle,
        "seconds_per_step": middle,
        "fastest": min(seconds),
        "slowest": max(seconds),
    }
    return row


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """Bytes: of a GPU what the allocator held and the context; of a CPU the process's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) + CUDA_CONTEXT
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def answering(model: Resident, batch: int, lengths: Lengths, times: int) -> Row:
    """Generated tokens a second."""
    vlm: Any = model.vlm
    rows: list[int] = []
    hook = vlm.head.register_forward_hook(lambda _, given, __: rows.append(_rows(given[0])))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        one = example(model, Path(folder), lengths)
        features, prompt = model.features([one.image]) * batch, vlm.encode(one.question)
        speeds = []
        for _ in range(times + 1):  # the first warms up
            rows.clear()
            began = time.monotonic()
            vlm.generate(features, [prompt] * batch, lengths.answer)
            speeds.append(sum(rows) / (time.monotonic() - began))
    hook.remove()
    return {"batch": batch, "generated_tokens_per_second": statistics.median(speeds[1:])}


def _rows(hidden: torch.Tensor) -> int:
    return hidden.numel() // hidden.shape[-1]


def guarded(config: Config, work: Callable[[], Row]) -> Row:
    """A row, or the sentence of what did not fit."""
    try:
        return explaining("training", lambda: config, work)
    except OutOfMemory as error:
        train = config.train
        return {
            "model": config.model.name,
            "batch": train.batch_size,
            "checkpointing": train.gradient_checkpointing,
            "quantize": config.model.params.quantize,
            "out_of_memory": str(error),
        }


def together(command: list[str], processes: int) -> Row:
    """Tokens a second of several resident processes, which begin their steps at the same time."""
    command = [sys.executable, str(Path(__file__).with_name("gpu.py")), *command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, "--worker"], **pipes) for _ in range(processes)]
    try:
        for child in children:
            assert child.stdin is not None and child.stdout is not None
            if child.stdout.readline().strip() != "ready":
                raise RuntimeError(f"a process of {processes} ended before its first step")
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        rows = [json.loads(child.communicate()[0]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    return {"processes": processes, "tokens_per_second": sum(row["tokens"] for row in rows)}


def work(model: str, size: str, device: torch.device, batch: int, lengths: Lengths) -> None:
    """What each of them does: be ready, wait, and take steps for some seconds."""
    config = configured(model, size, batch_size=batch)
    resident = built(config, device)
    image_tokens = adapted_skeleton(config).image_tokens
    seconds = 1.0 if size == "tiny" else 20.0
    with tempfile.TemporaryDirectory() as folder:
        one = example(resident, Path(folder), lengths)
        steps(resident, config, one, 2)
        print("ready", flush=True)
        sys.stdin.readline()
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            steps(resident, config, one, 4)
            count += 4
    tokens = count * batch * tokens_of(resident, one, image_tokens)
    print(json.dumps({"tokens": tokens / (time.monotonic() - began)}))
