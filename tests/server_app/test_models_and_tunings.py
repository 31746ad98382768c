"""Every model with every fine-tuning strategy that suits it, in a federation of two rounds."""

import math
from pathlib import Path

import pytest
import yaml

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.hf_vlm.families import FAMILIES
from fedvlm_flwr.run_folder import METRICS
from server_app.saved import read_checkpoint
from tests.llava_sources import SPARE

TUNINGS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "conf" / "tuning").glob("*.yaml")
)
OF_THE_LLM = ("f_l", "full_llm")  # all that a model without a connector has
SHORT = (
    "num_clients=2",
    "train.local_steps=2",
    "train.batch_size=2",
    "train.lr=1e-2",
    "dataset.tasks=[vqa]",
    "dataset.train_pictures=4",
    "dataset.test_pictures=1",
    "eval.shuffled=false",
    "eval.batch_size=8",
    "eval.max_new_tokens=2",
    "eval.every=9",
)


def federate(start, model: list[str], tuning: str):
    rounds = "num_rounds=1" if tuning == "f_2stage" else "num_rounds=2"
    return start(*model, f"tuning={tuning}", *SHORT, rounds)


def check(folder, tuning: str) -> None:
    stages = yaml.safe_load((folder.path / "config.yaml").read_text())["tuning"]["stages"]
    losses = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["where"], line["metric"]) == ("server", "loss")
    ]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    saved = read_checkpoint(folder)
    assert saved is not None and saved.finished
    wanted = {part for stage in stages for part in stage["share"] or stage["train"]}
    result = saved.previous | saved.state.arrays
    assert {name.partition(".")[0] for name in result} == wanted
    adapters = [values for name, values in result.items() if name.endswith("lora_B")]
    assert all(values.any() for values in adapters), "an adapter did not move"
    held = {path.name for path in (folder.path / "adapter").iterdir()}
    assert held
    assert ("adapter_model.safetensors" in held) == any(".lora_" in name for name in result)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_families(start, hf_checkpoint, family, tuning):
    model = ["model=hf_vlm", f"model.checkpoint={hf_checkpoint(family)}", "model.dtype=float32"]
    check(federate(start, model, tuning), tuning)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_tiny_llava(start, tuning):
    check(federate(start, [], tuning), tuning)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_llava_put_together_from_parts(start, clip, llama, tuning):
    choice = ["model=llava_clip_llama32_3b", "model.dtype=float32"]
    sources = [f"model.vision={clip}", f"model.llm={llama}", f"model.image_token='{SPARE}'"]
    if tuning in OF_THE_LLM:
        with pytest.raises(ConfigError, match=r"connector of .* starts random .*connector_weights"):
            federate(start, [*choice, *sources], tuning)
        return
    check(federate(start, [*choice, *sources], tuning), tuning)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_tiny_showo(start, small_showo, tuning):
    if tuning in OF_THE_LLM:
        check(federate(start, small_showo, tuning), tuning)
        return
    with pytest.raises(ModelError, match=r"no part 'connector' .*choose a tuning"):
        federate(start, small_showo, tuning)
