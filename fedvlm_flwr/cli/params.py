"""Count what a model and a tuning train, share and send, without loading a weight.

usage: fedvlm params [--format text|json] [KEY=VALUE ...]

For each stage of the tuning and each part of the model: all numbers, those that are trained and
those that are shared; for each round the bytes on the wire, as `wire.dtype` and the algorithm have
them (a message's settings and metrics, below 1 kB, are left aside). Keys are those of `fedvlm run`:

    fedvlm params model=llava_clip_llama32_3b tuning=f_cl
"""

import argparse
import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial

from fedvlm_flwr.cli.base import usual_round
from fedvlm_flwr.config import Config
from fedvlm_flwr.messages.wire import FLOAT32, packed_bytes
from fedvlm_flwr.models.experts import experts_without_adapters
from fedvlm_flwr.models.vlm import Skeleton
from fedvlm_flwr.planning.counting import (
    MessageCount,
    Shapes,
    StageCount,
    adapted_skeleton,
    count_parts,
    trained_shapes,
)
from fedvlm_flwr.planning.traffic import ClientTraffic, traffic
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.parts import as_text


def main(arguments: list[str]) -> int:
    """Count and print."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm params", add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    try:
        options = parser.parse_intermixed_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    config = this_process().compose({"overrides": shlex.join(options.overrides)})
    skeleton = adapted_skeleton(config)
    stages = count_stages(config, skeleton)
    if options.format == "json":
        print(json.dumps([asdict(stage) for stage in stages], indent=1))
    else:
        print(as_text(config, stages))
        if words := experts_without_adapters(skeleton, config.tuning):
            print(f"\n{words}")
    return 0


def message_count(traffic: ClientTraffic, dtype: str) -> MessageCount:
    """What the messages of a rank weigh."""

    def weight(records: Iterable[Shapes], dtype: str) -> int:
        return sum(packed_bytes(record, dtype) for record in records)

    down = weight(traffic.down, dtype)
    return MessageCount(
        traffic.rank,
        traffic.clients,
        down=down + weight([traffic.deposits], FLOAT32),
        up=weight(traffic.up, dtype),
        first=weight(traffic.whole, FLOAT32) - down if traffic.whole else 0,
    )


def count_stages(config: Config, skeleton: Skeleton) -> list[StageCount]:
    """Each stage's parts and messages.

    Args:
        skeleton: the configured model with its adapters, see `adapted_skeleton`.

    Raises:
        ConfigError: keys contradict each other.
        ModelError: the model lacks a part that is to be trained.
    """
    counts: list[StageCount] = []
    before: Shapes = {}
    for number, stage in enumerate(config.tuning.stages):
        trained = trained_shapes(skeleton, stage)
        sent = traffic(trained, partial(usual_round, config, number))
        messages = [message_count(each, config.wire.dtype) for each in sent.messages]
        first = max(each.first for each in messages)
        counts.append(
            StageCount(
                stage.trained,
                count_parts(skeleton, trained, sent.shared),
                messages,
                once=packed_bytes(before, FLOAT32) + packed_bytes(sent.once, FLOAT32) + first,
            )
        )
        before = before | sent.shared
    return counts
