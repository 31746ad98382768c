"""Every YAML under conf/ composes, and the module behind each choice takes its parameters."""

from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.config import Choice, compose, typed
from fedvlm_flwr.data.making import Making, Source
from fedvlm_flwr.plugins import load_module

CONF = Path(__file__).parents[1] / "conf"
SOURCES = sorted((CONF / "source").glob("*.yaml"))  # each is a part of some dataset
FILES = sorted(set(CONF.glob("*/*.yaml")) - set(SOURCES))
PACKAGES = {
    "model": "fedvlm_flwr.models",
    "dataset": "fedvlm_flwr.data.sets",
    "partition": "fedvlm_flwr.data.partitions",
    "algorithm": "strategies",
}


def identify(path: Path) -> str:
    return f"{path.parent.name}={path.stem}"


def module_of(group: str, choice: Choice) -> ModuleType:
    inner = "kind" if group == "model" else None
    return load_module(PACKAGES[group], choice.kind, group, inner)


def test_conf_holds_the_groups() -> None:
    groups = {path.parent.name for path in FILES}
    assert groups >= {*PACKAGES, "tuning", "train", "engine"}
    assert not list(CONF.glob("*/*.yml")), "Hydra reads .yaml only"


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_option_composes(path: Path) -> None:
    group, name = path.parent.name, path.stem
    config = compose({"overrides": f"{group}={name}"})
    choice = getattr(config, group, None)
    if group not in ("train", "experiment"):
        assert choice is not None, f"conf/{group} sets nothing in the configuration"
        assert choice.name == name, f"conf/{group}/{path.name} says name: {choice.name}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name in PACKAGES], ids=identify
)
def test_module_takes_the_parameters(path: Path) -> None:
    group = path.parent.name
    choice = getattr(compose({"overrides": f"{group}={path.stem}"}), group)
    assert isinstance(choice, Choice)
    module = load_module(PACKAGES[group], choice.kind, group, "kind" if group == "model" else None)
    params = typed(module.Params, choice.params, group)
    assert isinstance(params, module.Params)
    if "making" in choice.params:
        assert typed(Making, choice.params["making"], "making").sources


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_a_source_takes_its_parameters(path: Path) -> None:
    source = typed(Source, OmegaConf.to_container(OmegaConf.load(path)), "source")
    module = load_module("fedvlm_flwr.data.sources", path.stem, "source")
    assert isinstance(typed(module.Params, source.reading, "reading"), module.Params)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "experiment"], ids=identify
)
def test_experiment_changes_the_run_and_its_modules_take_it(path: Path) -> None:
    config = compose({"overrides": f"experiment={path.stem}"})
    assert config != compose({})
    for group in PACKAGES:
        choice = getattr(config, group)
        typed(module_of(group, choice).Params, choice.params, group)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "engine"], ids=identify
)
def test_engine_has_its_module(path: Path) -> None:
    module = load_module("fedvlm_flwr.engines", path.stem, "engine")
    assert callable(module.run)
