"""Answers given in batches against one by one: the same texts, and how much faster.

    python benchmarks/evaluation.py [--models tiny_llava tiny_showo] [--examples 200] [--times 5]
                                    [--batch-size 128] [--device cpu] [--out FILE.json]

The tiny models that travel with the package answer the first questions of easyvqa's test set, in
the order of their tasks, by what an evaluation calls (`generate_answers`): with the configured
`eval.batch_size` and with 1. Both ways take turns; the pictures' features are there already, since
they are the same work. Seconds are CPU seconds of the process, or of a GPU those by the clock;
given are medians, and of the ratio the smallest and the largest of a turn. A machine that is busy
with others slows both.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
import torch

from benchmarks.showing import show
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.evaluation.answers import generate_answers
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.process import Process

TUNING = "f_l"  # every model has what it trains


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["tiny_llava", "tiny_showo"])
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--batch-size", type=int, help="another than eval.batch_size")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    size = [f"eval.batch_size={options.batch_size}"] if options.batch_size else []
    numbers = (options.examples, options.times)
    rows = {name: measure(name, *numbers, device, *size) for name in options.models}
    show(table(rows), rows, options.out)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Seconds of both ways."""
    lines = ["| model | examples | batched s | one by one s | ratio | of turns | other answers |"]
    lines.append("|---|---:|---:|---:|---:|---|---:|")
    for name, row in rows.items():
        turns = f"{min(row['ratios']):.1f} to {max(row['ratios']):.1f}"
        lines.append(
            f"| {name} | {row['examples']} | {row['batched']:.2f} | {row['one_by_one']:.2f} | "
            f"{row['ratio']:.1f} | {turns} | {row['different']} |"
        )
    return "\n".join(lines)


def measure(name: str, count: int, times: int, device: torch.device, *more: str) -> dict[str, Any]:
    """Both ways in turns, with further overrides."""
    torch.set_num_threads(1)
    process = Process()
    words = ("engine=inprocess", f"model={name}", f"tuning={TUNING}", *more)
    config = process.compose({"overrides": " ".join(words)})
    model, data = process.model(config, device), process.data(config)
    step = max(1, len(data.test) // count)  # of all tasks and pictures
    rows = list(range(0, len(data.test), step))[:count]
    questions = examples(data.test, data.root, rows)
    tokens = config.eval.max_new_tokens or max(
        model.vlm.answer_length(one.answer) for one in questions
    )
    batched = replace(config.eval, max_new_tokens=tokens)
    single = replace(batched, batch_size=1)
    model.features.encode([image for one in questions for image in one.images])
    seconds: dict[str, list[float]] = {"batched": [], "one_by_one": []}
    texts: dict[str, list[str]] = {}
    for turn in range(times + 1):  # the first warms up
        for way, settings in (("batched", batched), ("one_by_one", single)):
            spent, texts[way] = answered(model, questions, settings, device)
            if turn:
                seconds[way].append(spent)
    ratios = [one / all_ for all_, one in zip(*seconds.values(), strict=True)]
    pairs = zip(*texts.values(), strict=True)
    return {
        "examples": len(questions),
        "batch_size": batched.batch_size,
        "batched": statistics.median(seconds["batched"]),
        "one_by_one": statistics.median(seconds["one_by_one"]),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "different": sum(one != other for one, other in pairs),
    }


def answered(
    model: Resident, questions: list[Example], settings: Any, device: torch.device
) -> tuple[float, list[str]]:
    """Seconds, and the answers."""
    clock = time.monotonic if device.type == "cuda" else time.process_time
    began = clock()
    texts = generate_answers(model, questions, settings)
    return clock() - began, texts


if __name__ == "__main__":
    main()
