"""Estimate the memory of a client process on a GPU and on a CPU, and how many fit on a card.

usage: fedvlm plan [--gpu-gb GB] [--length N] [--answer N] [--measure] [--format text|json]
                   [KEY=VALUE ...]

Nothing is loaded: the network goes through a training step and an answer without weights or data.
Examples are as long as they may be: --length tokens of text (default: model.max_text_tokens), of
which --answer are the answer (default: eval.max_new_tokens, half of them where that is null). The
card is --gpu-gb, or the GPU of this machine, or else some common sizes. --measure loads the model,
takes a few real steps on engine.device and prints what was used beside the estimate. Keys are those
of `fedvlm run`:

    fedvlm plan model=llava_clip_llama32_3b train.batch_size=8 eval.batch_size=16 --gpu-gb 24
"""

import argparse
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from fedvlm_flwr.cli.base import start_hooks, try_out, usual_round
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.resident import choose_device
from fedvlm_flwr.models.vlm import Skeleton
from fedvlm_flwr.planning.cards import fit, need
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.footprint import hook_bytes
from fedvlm_flwr.planning.measure import Measured, measure
from fedvlm_flwr.planning.memory import CPU, Estimate, Estimator, Lengths, Parameters
from fedvlm_flwr.planning.traffic import traffic, zeros
from fedvlm_flwr.process import Process, this_process
from fedvlm_flwr.report.memory import Budget, as_text

COMMON = (16.0, 24.0, 40.0, 80.0)  # GB of memory of common cards


def main(arguments: list[str]) -> int:
    """Estimate, or measure, and print."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    try:
        options = _parser().parse_intermixed_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    process = this_process()
    config = process.compose({"overrides": shlex.join(options.overrides)})
    longest = config.model.params.max_text_tokens
    text = options.length or longest
    answer = options.answer or config.eval.max_new_tokens or text // 2
    lengths = Lengths(text, answer)
    if not 0 < lengths.answer < lengths.text <= longest:
        raise ConfigError(
            f"--answer {lengths.answer} must be less than --length {lengths.text}, and that at "
            f"most model.max_text_tokens={longest}; change one of them."
        )
    measured = measured_here(process, config, lengths) if options.measure else None
    plan = budget(config, lengths, options.gpu_gb, measured)
    print(as_json(plan) if options.format == "json" else as_text(plan))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fedvlm plan", add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--gpu-gb", type=float)
    parser.add_argument("--length", type=int)
    parser.add_argument("--answer", type=int)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser


def budget(
    config: Config, lengths: Lengths, gpu_gb: float | None, measured: Measured | None
) -> Budget:
    """Estimates with and without gradient checkpointing, and the fit on each card.

    Raises:
        ConfigError: keys contradict each other.
        ModelError: the model's sizes are not at hand, or it lacks a part that is to be trained.
    """
    skeleton = adapted_skeleton(config)
    estimator = estimator_of(config, skeleton, lengths)
    estimates = {
        (stage, on): estimator.estimate(
            replace(config, train=replace(config.train, gradient_checkpointing=on)), stage
        )
        for stage in range(len(config.tuning.stages))
        for on in (False, True)
    }
    on_cpu = estimator.on(CPU)
    cpu = {
        (stage, on): on_cpu.estimate(
            replace(config, train=replace(config.train, gradient_checkpointing=on)), stage
        )
        for stage, on in estimates
    }
    fits = {gb: fit(int(gb * 1e9), config, estimator) for gb in cards(gpu_gb)}
    demand = need(config, estimator)
    return Budget(config, skeleton.image_tokens, lengths, estimates, cpu, demand, fits, measured)


def estimator_of(config: Config, skeleton: Skeleton, lengths: Lengths) -> Estimator:
    """An estimator that knows the configured algorithm."""

    def of_algorithm(stage: int, parameters: Parameters) -> int:
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        sent = traffic(shapes, partial(usual_round, config, stage))
        shared = [name for name in sent.messages[0].up[0] if name in shapes]
        extra = zeros(sent.extra)
        return hook_bytes(parameters, shared, partial(start_hooks, config, extra=extra))

    return Estimator(skeleton, lengths, of_algorithm)


def cards(gpu_gb: float | None) -> tuple[float, ...]:
    """The cards to plan for, in GB.

    Raises:
        ConfigError: the size is not above 0.
    """
    if gpu_gb is not None:
        if not gpu_gb > 0:
            raise ConfigError(f"--gpu-gb {gpu_gb:g} must be above 0.")
        return (gpu_gb,)
    if torch.cuda.is_available():
        return (round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),)
    return COMMON


def measured_here(process: Process, config: Config, lengths: Lengths) -> Measured:
    """What real training and answering take on this machine.

    Raises:
        ConfigError: there is no such device, or the prompt alone is longer than `lengths`.
        ModelError: the model cannot be loaded.
    """
    device = choose_device(config.engine.device)
    return measure(process, config, device, lengths, partial(try_out, config))


def _listed(estimates: Mapping[tuple[int, bool], Estimate]) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "gradient_checkpointing": on, **asdict(estimate)}
        | {"to_train": estimate.to_train, "to_answer": estimate.to_answer}
        for (stage, on), estimate in estimates.items()
    ]


def as_json(plan: Budget) -> str:
    """The same for machines; sizes in bytes."""
    summary = {
        "image_tokens": plan.image,
        "text_tokens": plan.lengths.text,
        "answer_tokens": plan.lengths.answer,
        "planned_for": "one client process on a GPU (estimates, need, cards) and on a CPU (cpu)",
        "estimates": _listed(plan.estimates),
        "cpu": _listed(plan.cpu),
        "need": asdict(plan.need),
        "cards": [{"gb": gb, **asdict(each)} for gb, each in plan.cards.items()],
        "measured": asdict(plan.measured) if plan.measured else None,
    }
    return json.dumps(summary, indent=1)
