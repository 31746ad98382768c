"""Every YAML under conf/ composes, and the module behind each choice takes its parameters."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.config import compose
from fedvlm_flwr.config.choice import GROUPS, params_class
from fedvlm_flwr.data.making_settings import read_sources
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import load_module

CONF = Path(__file__).parents[1] / "conf"
SOURCES = sorted((CONF / "source").glob("*.yaml"))  # each is a part of some dataset
SPACES = set((CONF / "search").glob("*.yaml"))  # what `fedvlm tune` tries, see its own test
FILES = sorted(set(CONF.glob("*/*.yaml")) - set(SOURCES) - SPACES)


def identify(path: Path) -> str:
    return f"{path.parent.name}={path.stem}"


@cache
def chosen(group: str, name: str) -> Any:
    """What a choice comes to, nothing else being said."""
    return getattr(compose({"overrides": f"{group}={name}"}), group)


def test_conf_holds_the_groups() -> None:
    groups = {path.parent.name for path in FILES}
    assert groups >= {"model", "algorithm", "dataset", "partition", "tuning", "train", "engine"}
    assert not list(CONF.glob("*/*.yml")), "Hydra reads .yaml only"


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_option_composes(path: Path) -> None:
    group, name = path.parent.name, path.stem
    having = sorted(each.stem for each in (CONF / group / name).glob("*.yaml"))
    algorithm = [f"algorithm={having[0]}"] if having else []  # settings that not all have
    config = compose({"overrides": " ".join([f"{group}={name}", *algorithm])})
    choice = getattr(config, group, None)
    if group not in ("train", "experiment"):
        assert choice is not None, f"conf/{group} sets nothing in the configuration"
        said = choice if isinstance(choice, str) else choice.name
        assert said == name, f"conf/{group}/{path.name} says {said}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name in GROUPS], ids=identify
)
def test_its_module_has_typed_the_parameters(path: Path) -> None:
    group = path.parent.name
    choice = chosen(group, path.stem)
    assert isinstance(choice.params, params_class(group, choice.kind))


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_a_source_takes_its_parameters(path: Path) -> None:
    raw = OmegaConf.to_container(OmegaConf.load(path))
    source = read_sources({path.stem: raw}, "sources")[path.stem]
    assert isinstance(source.reading, params_class("source", path.stem))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "experiment"], ids=identify
)
def test_experiment_changes_the_run(path: Path) -> None:
    assert compose({"overrides": f"experiment={path.stem}"}) != compose({})


VALUES = sorted((CONF / "settings").glob("*/*.yaml"))  # of an algorithm, beside its own YAML's


@pytest.mark.parametrize("path", VALUES, ids=identify)
def test_settings_are_of_an_algorithm_and_its_learning_rate(path: Path) -> None:
    raw = OmegaConf.to_container(OmegaConf.load(path))
    config = compose({"overrides": f"settings={path.parent.name} algorithm={path.stem}"})
    for key, value in raw.get("algorithm", {}).items():  # type: ignore[union-attr]
        assert getattr(config.algorithm.params, key) == value
    assert set(raw) <= {"algorithm", "train"} and set(raw.get("train", {})) <= {"lr"}  # type: ignore[union-attr, arg-type]
    assert raw.get("train", {}) in ({}, {"lr": config.train.lr})  # type: ignore[union-attr]
    words = f"settings={path.parent.name} algorithm={path.stem} train.lr=0.5"
    assert compose({"overrides": words}).train.lr == 0.5, "a word of the command wins"


def test_settings_that_nobody_has_found_are_refused() -> None:
    with pytest.raises(ConfigError, match="settings=published has no values for algorithm=local"):
        compose({"overrides": "settings=published algorithm=local"})


EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
CHOICES = [path for path in FILES if path.parent.name in ("model", "dataset")]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("path", CHOICES, ids=identify)
def test_experiments_go_with_every_model_and_dataset(path: Path, experiment: str) -> None:
    group, name = path.parent.name, path.stem
    choice = getattr(compose({"overrides": f"{group}={name} experiment={experiment}"}), group)
    scaled = CONF / "scaled" / group / experiment / f"{name}.yaml"
    assert (choice != chosen(group, name)) == scaled.exists()


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "engine"], ids=identify
)
def test_engine_has_its_module(path: Path) -> None:
    module = load_module("fedvlm_flwr.engines", path.stem, "engine")
    assert callable(module.run)
