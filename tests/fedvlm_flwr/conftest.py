"""A tiny model with random weights, pictures on disk, and a recipe that takes seconds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.llava.params import Sizes
from fedvlm_flwr.models.pretraining.tiny_llava import build
from fedvlm_flwr.paths import fedvlm_home
from tests import choices

CONF = Path(__file__).parents[2] / "conf" / "model" / "tiny_llava.yaml"
TEXTS = ["where is the shape?", "describe the image.", "a blue rectangle", "is there a red shape?"]
SIZES = Sizes(
    image_size=64,
    patch_size=16,
    image_mean=0.9,
    image_std=0.3,
    vision_width=32,
    vision_layers=3,
    vision_heads=2,
    llm_width=32,
    llm_layers=2,
    llm_heads=2,
    llm_mlp_width=48,
)
TEMPLATE = "look. USER: <image>\n{question} ASSISTANT:"


@pytest.fixture
def model() -> Llava:
    """Random weights, larger than at the usual start so that answers depend on their input."""
    tiny = build(SIZES, TEMPLATE, TEXTS, seed=0, max_text_tokens=64)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in tiny.module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3, generator=generator)
    tiny.module.eval()
    return tiny


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five pictures of rectangles in different places."""
    paths = []
    for i in range(5):
        picture = Image.new("RGB", (64, 64), (240, 240, 240 - i))
        ImageDraw.Draw(picture).rectangle((5 * i, 3 * i, 20 + 7 * i, 30), fill=(40 * i, 10, 90))
        paths.append(tmp_path / f"{i}.png")
        picture.save(paths[-1])
    return paths


def few_steps() -> dict[str, Any]:
    """The shipped tiny model's parameters with a few steps of pretraining."""
    params: dict[str, Any] = yaml.safe_load(CONF.read_text())
    del params["name"], params["kind"]
    recipe = params["tiny"]["pretrain"]
    for phase in ("vision", "text", "language"):
        recipe[phase]["steps"] = 3
    return params


@pytest.fixture
def cheap() -> dict[str, Any]:
    """Parameters of a model that is prepared in seconds."""
    return few_steps()


@pytest.fixture(scope="session")
def cheap_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model of `cheap`, prepared in a $FEDVLM_HOME that has nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(tmp_path_factory.mktemp("cheap")))
        return prepare_model(choices.model("tiny_llava", "llava", few_steps()))


@pytest.fixture
def cheap_folder(cheap_once: Path, home: Path) -> Path:
    """A copy of it in the test's own $FEDVLM_HOME, as if it had been prepared there."""
    folder = fedvlm_home() / "models" / cheap_once.name
    shutil.copytree(cheap_once, folder)
    return folder
