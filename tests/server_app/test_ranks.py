"""Ranks that differ, in a real run."""

import json

from safetensors.numpy import load_file

from fedvlm_flwr.run_folder import METRICS
from server_app.saved import read_checkpoint

SHORT = ("eval.every=2", "eval.shuffled=false", "dataset.tasks=[vqa]", "eval.max_examples=40")
MIXED = ("num_clients=3", "tuning.lora.r=8", "tuning.lora.rank_of=[2,4,8]")


def values(folder, metric):
    lines = [line for line in folder.lines(METRICS) if line["metric"] == metric]
    return {(x["round"], x["where"]): x["value"] for x in lines if x["task"] in ("vqa", "train")}


def test_clients_of_three_ranks_train_one_adapter(start):
    folder = start("algorithm=flexlora", *MIXED, *SHORT)
    saved = read_checkpoint(folder)
    shapes = {n: v.shape for n, v in saved.state.arrays.items() if n.endswith("lora_A")}
    assert shapes and {rank for rank, _ in shapes.values()} == {8}
    connector, adapters = 33_024, 39_040
    expected = 4 * (3 * connector + adapters * (2 + 4 + 8) // 8)
    for direction in ("bytes_down", "bytes_up"):
        (sent,) = {v for (_, where), v in values(folder, direction).items() if where == "server"}
        assert expected < sent < 1.06 * expected
    accuracy = values(folder, "accuracy")
    assert accuracy[2, "server"] > accuracy[0, "server"]
    config = json.loads((folder.path / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == 8 and not config["rank_pattern"]
    tensors = load_file(folder.path / "adapter" / "adapter_model.safetensors")
    assert any(n.endswith("lora_B.weight") and v.any() for n, v in tensors.items())
