"""What the local step leaves out, in CPU seconds of one process, both ways in turns.

    python benchmarks/local_step.py [--times 5] [--out FILE.json]

- A client's round of 2 steps of 4 examples, of a share of 400 pictures, against the same with the
  whole share read, tokenized and encoded first, as it was until it was left out.
- A step of a transformers family on kept outputs of its vision tower, against the tower run in the
  step: tiny random checkpoints, whose tower is about as large as their language model.
- A step of both tiny models whose last layer is computed where the loss reads it, against one that
  computes all of it.
- A step of both whose adapters and dropout are ours, against peft's, and torch's dropout too.
- How many places of a batch are padding, and a step of both whose rows stand one behind the other
  in the language model against one on padded rows.

Given are medians and the smallest and largest ratio of a turn.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fedvlm_flwr  # noqa: F401  # before torch is there: how threads wait

# isort: split
import torch
from PIL import Image
from torch import nn

from benchmarks.showing import show
from client_app.local import draw, encode_all
from client_app.worker import Worker
from fedvlm_flwr.config import Choice
from fedvlm_flwr.images.reading import open_image
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack
from fedvlm_flwr.models import load_model, packing
from fedvlm_flwr.models.dropout import Dropout, replace_dropout
from fedvlm_flwr.models.hf_vlm.params import Params
from fedvlm_flwr.models.lora_linear import LoraLinear, replace_lora
from fedvlm_flwr.models.parts import part_module
from fedvlm_flwr.models.peft_layers import Linear
from fedvlm_flwr.models.vlm import VLM, Encoded, Features
from fedvlm_flwr.process import Process
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.simulation import simulating
from tests.hf_tiny import tiny_checkpoint

CPU = torch.device("cpu")
ROUND = "engine=inprocess num_clients=1 dataset.train_pictures=400 train.local_epochs=null "
ROUND += "train.local_steps=2 train.batch_size=4 engine.features_on_disk=false "
ROUND += "engine.feature_megabytes=0.1 tuning=f_l"
FAMILIES = ("llava", "llava_next", "idefics3", "qwen2_5_vl")
NODE = {"partition-id": 0, "num-partitions": 1}
BATCHES, ROWS = 8, 1500  # steps that are measured, and the records that they are drawn from

Ways = dict[str, Callable[[], object]]


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {"a round of 2 steps of 4": in_turns(of_a_round(), options.times)}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            rows[f"a step of {family}"] = in_turns(of_a_tower(family, Path(folder)), options.times)
    for model in ("tiny_llava", "tiny_showo"):
        rows[f"a step of {model}, by its last layer"] = in_turns(
            of_last_layer(model), options.times
        )
        rows[f"a step of {model}, by its adapters"] = in_turns(of_adapters(model), options.times)
        padding, ways = of_padding(model)
        name = f"a step of {model}, of whose places padding is {padding:.0%}"
        rows[name] = in_turns(ways, options.times)
    show(table(rows), rows, options.out)


def table(rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A table of the ways of each work."""
    lines = []
    for name, row in rows.items():
        lines.append(f"\n| {name} | CPU s | by the first | of turns |\n|---|---:|---:|---|")
        for way, each in row.items():
            turns = f"{min(each['ratios']):.2f} to {max(each['ratios']):.2f}"
            lines.append(f"| {way} | {each['seconds']:.3f} | {each['ratio']:.2f} | {turns} |")
    return "\n".join(lines)


def in_turns(ways: Ways, times: int) -> dict[str, dict[str, Any]]:
    """CPU seconds of each way, and by those of the first in the same turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(times + 1):  # the first warms up
        for way, work in ways.items():
            began = time.process_time()
            work()
            if turn:
                seconds[way].append(time.process_time() - began)
    first = next(iter(seconds.values()))
    result = {}
    for way, own in seconds.items():
        ratios = [one / base for one, base in zip(own, first, strict=True)]
        middle = statistics.median(ratios)
        result[way] = {"seconds": statistics.median(own), "ratio": middle, "ratios": ratios}
    return result


def of_a_round() -> Ways:
    """Only what is drawn, and the whole share first."""
    process = Process()
    run_config = {"overrides": ROUND}
    config = process.compose(run_config)
    model, worker = process.model(config, CPU), Worker(process)
    place = {"client": 0, "stage": 0, "round": 1, "run": "0" * 32, "data": (0,)}
    content = TrainRequest(**place, arrays=pack(model.initial[0])).pack()

    def trained() -> None:
        model.features.forget()
        with simulating():
            worker.train(content, run_config, NODE)

    def after_the_share() -> None:
        model.features.forget()
        share = process.examples_of(config, 0)
        model.features.encode([image for one in share for image in one.images])
        encode_all(model.vlm, share)
        trained()

    return {"what is drawn": trained, "the whole share first": after_the_share}


def of_a_tower(family: str, folder: Path) -> Ways:
    """The tower's output kept, and the tower in the step."""
    checkpoint = tiny_checkpoint(family, folder / family)
    facts = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}
    params = Params(checkpoint=str(checkpoint), **facts)
    vlm: Any = load_model(Choice(family, "hf_vlm", params), CPU)
    vlm.module.get_submodule(vlm.family.llm).requires_grad_(True)
    paths = [folder / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (64, 64), (30 * i, 200, 90)).save(path)
    outputs, pixels = (
        vlm.features(paths),
        [vlm.inputs.encode_image(open_image(p), torch.float32) for p in paths],
    )
    batch = [vlm.encode("what color is it?", "a red circle")] * len(paths)
    return {
        "the tower's output kept": lambda: vlm.loss(outputs, batch).backward(),
        "the tower in the step": lambda: vlm.loss(pixels, batch).backward(),
    }


Batches = tuple[VLM, list[Features], list[Encoded], list[list[int]]]


def batches(name: str) -> Batches:
    """A model in training, features and tokens of records, and which of them each batch has."""
    process = Process()
    config = process.compose({"overrides": f"engine=inprocess model={name} tuning=f_l"})
    model = process.model(config, CPU)
    model.place(0, model.initial[0], {})
    records = process.examples_at(config, range(ROWS))
    encoded = list(encode_all(model.vlm, records).values())
    features = model.features([one.image for one in records])
    model.vlm.module.train()
    picks = draw(len(encoded), config.train, BATCHES, stream(0, "batches"))
    return model.vlm, features, encoded, picks


def steps_of(drawn: Batches) -> Callable[[], None]:
    """What takes a model's losses of batches and their gradients."""
    vlm, features, encoded, picks = drawn

    def steps() -> None:
        for pick in picks:
            vlm.loss([features[i] for i in pick], [encoded[i] for i in pick]).backward()

    return steps


def of_last_layer(name: str) -> Ways:
    """Computed where it is read, and as a whole but for attention."""
    steps = steps_of(batches(name))

    def whole() -> None:
        with mock.patch.object(packing, "read_at", lambda *_: nullcontext()):
            steps()

    return {"where it is read": steps, "all of it": whole}


def of_adapters(name: str) -> Ways:
    """Ours, with peft's layers, and with torch's dropout too."""
    drawn = batches(name)
    steps, llm = steps_of(drawn), part_module(drawn[0], "llm")

    def by(layer: type[Linear], dropout: type[nn.Dropout]) -> None:
        replace_lora(llm, layer)
        replace_dropout(llm, dropout)
        steps()

    return {
        "ours": lambda: by(LoraLinear, Dropout),
        "peft's layers": lambda: by(Linear, Dropout),
        "torch's dropout too": lambda: by(Linear, nn.Dropout),
    }


def of_padding(name: str) -> tuple[float, Ways]:
    """Padding by places that are none; steps without it, and with it."""
    drawn = batches(name)
    steps, (_, features, encoded, picks) = steps_of(drawn), drawn
    image_tokens = next(iter(features[0].values())).shape[0]
    lengths = [image_tokens + len(row.prompt_ids) + len(row.answer_ids) for row in encoded]
    places = sum(lengths[i] for pick in picks for i in pick)
    filled = sum(max(lengths[i] for i in pick) * len(pick) for pick in picks)

    def padded() -> None:
        with mock.patch.object(packing, "can_be_packed", lambda *_: False):
            steps()

    return filled / places - 1, {"one behind the other": steps, "padded": padded}


if __name__ == "__main__":
    main()
