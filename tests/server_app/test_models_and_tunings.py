"""Every model with every fine-tuning strategy that suits it, in a federation of two rounds."""

import math
import shlex

import pytest
import yaml

from fedvlm_flwr.config import Stage, compose
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import model_parts
from fedvlm_flwr.models.hf_vlm.families import FAMILIES
from fedvlm_flwr.run_folder import METRICS
from server_app.saved import read_checkpoint
from tests.choices import CONF, SHIPPED
from tests.llava_sources import SPARE

TUNINGS = sorted(path.stem for path in (CONF / "tuning").glob("*.yaml"))
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


def stages_of(tuning: str) -> tuple[Stage, ...]:
    return tuple(compose({"overrides": f"tuning={tuning}"}).tuning.stages)


def federate(start, model: list[str], tuning: str):
    """Two rounds, or one of each stage."""
    rounds = 2 if len(stages_of(tuning)) == 1 else 1
    return start(*model, f"tuning={tuning}", *SHORT, f"num_rounds={rounds}")


def check(folder, tuning: str) -> None:
    stages = yaml.safe_load((folder.path / "config.yaml").read_text())["tuning"]["stages"]
    losses = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["where"], line["metric"]) == ("server", "loss")
    ]
    assert len(losses) == max(2, len(stages))
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


# What a tuning trains and shares is told by the names of parts, which all families have: one family
# goes through all of them, the others through one with adapters and one with whole parts.
BOTH = ("f_2stage", "full_connector_llm")
PAIRS = [(f, t) for f in FAMILIES for t in TUNINGS if t in BOTH or f == next(iter(FAMILIES))]


@pytest.mark.parametrize(("family", "tuning"), PAIRS)
def test_transformers_families(start, hf_checkpoint, family, tuning):
    model = ["model=hf_vlm", f"model.checkpoint={hf_checkpoint(family)}", "model.dtype=float32"]
    check(federate(start, model, tuning), tuning)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("name", SHIPPED)
def test_models_of_the_package(start, small, name, tuning):
    choice = compose({"overrides": shlex.join([*small, f"model={name}"])}).model
    lacking = {part for stage in stages_of(tuning) for part in stage.trained} - {
        *model_parts(choice)
    }
    if not lacking:
        check(federate(start, [f"model={name}"], tuning), tuning)
        return
    (part,) = lacking
    with pytest.raises(ModelError, match=rf"no part '{part}' .*choose a tuning"):
        federate(start, [f"model={name}"], tuning)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_llava_put_together_from_parts(start, clip, llama, tuning):
    choice = ["model=llava_clip_llama32_3b", "model.dtype=float32"]
    sources = [f"model.vision={clip}", f"model.llm={llama}", f"model.image_token='{SPARE}'"]
    if "connector" not in stages_of(tuning)[0].trained:
        with pytest.raises(ConfigError, match=r"connector of .* starts random .*connector_weights"):
            federate(start, [*choice, *sources], tuning)
        return
    check(federate(start, [*choice, *sources], tuning), tuning)
