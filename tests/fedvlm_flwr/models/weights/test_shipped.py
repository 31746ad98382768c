"""Models that travel with the package: used as they are, found from a bundle, never trusted."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models import load_model, prepare_model, prepared_model
from fedvlm_flwr.models.weights.distance import distance
from fedvlm_flwr.paths import PACKAGE, SHIPPED, without_shipped_models
from tests import choices
from tests.choices import CONF

CPU = torch.device("cpu")
TINY = sorted(
    path.stem
    for path in (CONF / "model").glob("*.yaml")
    if yaml.safe_load(path.read_text()).get("tiny")
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is not there yet."""
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shipped(cheap_once: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cheap model that travels with a package further on the path, as seen from a bundle."""
    place = tmp_path / "site" / PACKAGE.name / SHIPPED / cheap_once.name
    shutil.copytree(cheap_once, place)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return place


def test_every_tiny_model_of_conf_travels_and_no_other() -> None:
    """One whose recipe was changed is made anew, and the old one removed."""
    folders = {prepared_model(compose({"overrides": f"model={name}"}).model) for name in TINY}
    assert TINY
    assert folders == set((PACKAGE / SHIPPED).iterdir())


@pytest.mark.parametrize("name", TINY)
def test_it_is_used_without_any_preparation_and_computes_in_full_precision(
    name: str, home: Path
) -> None:
    choice = compose({"overrides": f"experiment=smoke model={name}"}).model
    steps: list[int] = []
    folder = prepare_model(choice, lambda done, *_: steps.append(done))
    model = load_model(choice, CPU)
    assert folder is not None and not steps
    assert not home.exists()
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    stored = [
        tensor for file in folder.glob("*.safetensors") for tensor in load_file(file).values()
    ]
    assert {tensor.dtype for tensor in stored if tensor.is_floating_point()} == {torch.float16}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6


def test_a_bundle_finds_those_of_the_package_that_is_installed(shipped: Path, cheap: dict) -> None:
    choice = choices.model("tiny_llava", "llava", cheap)
    assert prepare_model(choice) == prepared_model(choice) == shipped
    with without_shipped_models():
        assert prepared_model(choice) is None


@pytest.mark.parametrize("harm", ["changed", "cut", "missing", "manifest"])
def test_a_damaged_one_is_refused_with_how_to_mend_it(
    shipped: Path, cheap: dict, home: Path, harm: str
) -> None:
    path = shipped / ("manifest.json" if harm == "manifest" else "model.safetensors")
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if harm == "cut" else bytes([content[0] ^ 1]) + content[1:])
    choice = choices.model("tiny_llava", "llava", cheap)
    for use in (prepare_model, lambda model: load_model(model, CPU)):
        with pytest.raises(ModelError, match=rf"{path.name} .*; install fedvlm_flwr again\.$"):
            use(choice)
    assert not home.exists()


def test_the_distance_by_hand() -> None:
    """Of four weights one differs by 0.5 and one by 1.2; what is no weight is left out."""
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[0.0, 2.0]]), "n": torch.tensor(3)}
    other = {"a": torch.tensor([1.5, 2.0]), "b": torch.tensor([[0.0, 0.8]]), "n": torch.tensor(9)}
    gap = distance(one, other)
    assert gap.largest == pytest.approx(1.2)
    assert gap.rms == pytest.approx(0.65)  # the root of (0.25 + 1.44) / 4
    assert gap.scale == pytest.approx(1.5)  # of (1 + 4 + 4) / 4
