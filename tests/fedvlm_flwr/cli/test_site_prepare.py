"""`fedvlm site prepare` tells the fingerprint that the server compares."""

import shutil

import torch

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.process import Process


def test_the_base_is_found_and_named(home, small, tmp_path, capsys) -> None:
    shutil.copytree(home / "models", tmp_path / "models")
    assert main(["site", "prepare", f"model-root={tmp_path / 'models'}", "experiment=smoke"]) == 0
    output = capsys.readouterr().out
    assert f"model tiny_llava: {tmp_path / 'models'}" in output
    config = compose({"overrides": "experiment=smoke"})
    base = Process().model(config, torch.device("cpu")).base_fingerprint
    assert f"fingerprint of the base: {base[:12]}\n" in output
