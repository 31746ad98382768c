"""`fedvlm site prepare` tells the fingerprint that the server compares."""

import pytest
import torch

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.paths import PACKAGE, SHIPPED, models_in
from fedvlm_flwr.process import Process

STEPS = [f"model.tiny.pretrain.{phase}.steps=1" for phase in ("vision", "text", "language")]


@pytest.mark.parametrize(("words", "place"), [([], PACKAGE / SHIPPED), (STEPS, None)])
def test_the_base_is_found_and_named(words, place, home, tmp_path, capsys) -> None:
    """One of the package, or one that is made in the site's own folder of models."""
    place = place or tmp_path / "models"
    assert main(["site", "prepare", f"model-root={tmp_path / 'models'}", *words]) == 0
    output = capsys.readouterr().out
    assert f"model tiny_llava: {place}/tiny_llava-" in output
    with models_in(str(tmp_path / "models")):
        config = compose({"overrides": " ".join(words)})
        base = Process().model(config, torch.device("cpu")).base_fingerprint
    assert f"fingerprint of the base: {base[:12]}\n" in output
