"""Run folders made by hand: finished runs whose numbers are known."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fedvlm_flwr.sealed import sealed

COST = {
    "seconds": {
        "wall": 10.0,
        "rounds": 6.0,
        "waiting": 5.0,
        "local_training": 8.0,
        "evaluation": 3.0,
    },
    "bytes": {"up": 2_000_000, "down": 3_000_000},
    "shared_arrays": {"tensors": 2, "numbers": 10},
    "processes": {
        "server": {"peak_memory_bytes": 1_000_000_000, "model_loads": 1},
        "client": {"peak_memory_bytes": 500_000_000, "model_loads": 2, "images_encoded": 7},
    },
}


def line(number: int, where: str, task: str, metric: str, value: object) -> dict[str, Any]:
    return {"round": number, "where": where, "task": task, "metric": metric, "value": value}


def write_run(
    folder: Path,
    scores: Sequence[float],
    more: Sequence[Mapping[str, Any]] = (),
    *,
    steps: int = 10,
    task: str = "vqa",
    **choices: Any,
) -> Path:
    """A finished run of two clients.

    Args:
        scores: accuracy before the first round, then after each.
        more: further lines of metrics.
        choices: names of groups, and other keys.
    """
    folder.mkdir(parents=True)
    defaults = {"algorithm": "fedavg", "dataset": "easyvqa", "partition": "iid", "tuning": "f_cl"}
    groups = {k: choices.pop(k, name) for k, name in defaults.items()}
    tree: dict[str, Any] = {k: {"name": name, "kind": name} for k, name in groups.items()}
    tree |= {"seed": choices.pop("seed", 0), "num_clients": 2, **choices}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    lines: list[Mapping[str, Any]] = []
    for number, score in enumerate(scores):
        if number:
            train = {"seconds": 3.0, "bytes_up": 1e6, "bytes_down": 1e6, "loss": 0.5}
            lines += [line(number, "server", "train", k, v) for k, v in train.items()]
            lines += [line(number, f"client:{k}", "train", "steps", steps) for k in (0, 1)]
        lines += [line(number, "server", task, "accuracy", score)]
        lines += [line(number, "server", task, "full", 1.0)]
    text = "".join(json.dumps(one) + "\n" for one in [*lines, *more])
    (folder / "metrics.jsonl").write_text(text)
    (folder / "cost.json").write_text(json.dumps(COST))
    metrics = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    facts = {"finished": True, "callbacks": {"MetricsWriter": metrics}}
    (folder / "checkpoint.json").write_text(json.dumps(sealed(facts)))
    return folder
