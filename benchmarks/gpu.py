"""The local step and answering on one GPU: correct first, then how fast and how much memory.

    python benchmarks/gpu.py                                  # full size, on the GPU
    python benchmarks/gpu.py --device cpu --size tiny         # that everything runs

No network, no Ray and no trained weights: the models are built by the real code at their published
sizes, with random weights from a seed, LoRA at bfloat16. Each number is the median of `--times`
runs of `--steps` steps; tokens are the picture's, the question's and the answer's. MFU is what
torch counts of floating point operations in the step (nothing that checkpointing computes twice,
nor what the last layer leaves out), by what the card can do; null where that is not known. Memory
stands beside what `fedvlm plan` estimates. With a GPU and full size all of it is written to
docs/results/gpu.json.
"""

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
import torch
import transformers

from benchmarks.gpu_checks import check
from benchmarks.gpu_measures import answering, flops, guarded, peak_of, together, training, work
from benchmarks.gpu_models import MODELS, built, configured, example, tokens_of
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.resident import choose_device
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.memory import Lengths

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "gpu.json"
BATCHES = {"full": (4, 8, 16, 32), "tiny": (4,)}
PROCESSES = {"full": (1, 2, 4), "tiny": (1,)}
LENGTHS = {"full": Lengths(128, 32), "tiny": Lengths(64, 8)}
COLUMNS = ("model", "quantize", "batch", "checkpointing", "tokens_per_second", "mfu")
COLUMNS += ("peak_gb", "estimated_gb")


def main() -> None:
    """Check, measure, print and write."""
    options = parsed()
    device, size = choose_device(options.device), options.size
    if options.worker:
        work(options.models[0], size, device, options.batch, LENGTHS[size])
        return
    result: dict[str, Any] = {"card": card(device), "size": size, "versions": versions()}
    result["checks"] = {} if options.no_checks else check(device)
    for model in options.models:
        result[model] = measured(model, size, device, options)
    print(table(result, options.models))
    out = options.out or (OUT if device.type == "cuda" and size == "full" else None)
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="of several processes and of answers")
    parser.add_argument("--no-checks", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def measured(
    model: str, size: str, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """All rows of one model."""
    report: dict[str, Any] = {"training": []}
    for quantize in (None, "4bit"):
        config = configured(model, size, quantize=quantize)
        try:
            report["training"] += of_one_base(config, device, options, report)
        except ConfigError as error:  # no bitsandbytes here
            row = {"model": model, "quantize": quantize, "left_out": str(error)}
            report["training"].append(row)
        torch.cuda.empty_cache()
    words = ["--device", str(device), "--size", size, "--models", model]
    words += ["--batch", str(options.batch)]
    report["processes"] = [together(words, count) for count in PROCESSES[size]]
    return report


def of_one_base(
    config: Config, device: torch.device, options: argparse.Namespace, report: dict[str, Any]
) -> list[dict[str, Any]]:
    """The rows of a base that is built once; of an unquantized one answers and operations too."""
    resident, lengths = built(config, device), LENGTHS[options.size]
    if config.model.params.quantize is None:
        report["flops_per_token"] = operations_of_a_token(resident, config, lengths)
        report["answering"] = answering(resident, options.batch, lengths, options.times)
    rows = []
    for batch in BATCHES[options.size]:
        for checkpointing in (False, True):
            how = {"batch_size": batch, "gradient_checkpointing": checkpointing}
            own = replace(config, train=replace(config.train, **how))
            row = guarded(own, partial(training, resident, own, lengths, options))
            rows.append(with_mfu(row, report["flops_per_token"], peak_of(device)))
    return rows


def operations_of_a_token(resident: Any, config: Any, lengths: Lengths) -> int:
    """Floating point operations of a training step for each token of an example."""
    with tempfile.TemporaryDirectory() as folder:
        one = example(resident, Path(folder), lengths)
        image_tokens = adapted_skeleton(config).image_tokens
        return flops(resident, config, one) // tokens_of(resident, one, image_tokens)


def with_mfu(row: dict[str, Any], operations: int, peak: float | None) -> dict[str, Any]:
    """The same, with the part of the card's peak that the step reaches."""
    if "tokens_per_second" not in row:
        return row
    return row | {"mfu": row["tokens_per_second"] * operations / peak if peak else None}


def card(device: torch.device) -> str:
    """What was measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str | None]:
    """Of what decides numbers."""
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
    }


def table(result: dict[str, Any], models: list[str]) -> str:
    """All rows as Markdown."""
    lines = [f"{result['card']}, {result['size']} size"]
    lines += [f"{name}: {value}" for name, value in result["checks"].items()]
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for model in models:
        for row in result[model]["training"]:
            lines.append(f"| {' | '.join(cell(row.get(name)) for name in COLUMNS)} |")
    lines += ["", "| model | processes | tokens_per_second |", "|---|---|---|"]
    for model in models:
        for row in result[model]["processes"]:
            lines.append(f"| {model} | {row['processes']} | {cell(row['tokens_per_second'])} |")
    lines += ["", "| model | batch | generated tokens a second |", "|---|---|---|"]
    for model in models:
        row = result[model]["answering"]
        speed = cell(row["generated_tokens_per_second"])
        lines.append(f"| {model} | {row['batch']} | {speed} |")
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A cell."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


if __name__ == "__main__":
    main()
