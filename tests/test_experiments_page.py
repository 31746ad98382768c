"""docs/experiments.md: its commands compose, and a sweep has as many runs as it says."""

import math
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.config import compose
from fedvlm_flwr.paths import conf_dir
from fedvlm_flwr.sweeps.place import is_sweep
from tests.test_readme import commands

PAGE = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8")
ROWS = re.findall(r"\| `fedvlm run experiment=(\w+)` \| (\d+) \|", PAGE)
HYDRAS = ("hydra/", "hydra.", "-m")


def swept(name: str) -> dict[str, list[str]]:
    tree = OmegaConf.load(conf_dir() / "experiment" / f"{name}.yaml")
    params = OmegaConf.select(tree, "hydra.sweeper.params")
    return {key: str(values).split(",") for key, values in params.items()}


def test_every_sweep_by_name_is_on_the_page():
    names = [path.stem for path in (conf_dir() / "experiment").glob("*.yaml")]
    assert sorted(name for name, _ in ROWS) == sorted(
        name for name in names if is_sweep([f"experiment={name}"])
    )


@pytest.mark.parametrize(("name", "count"), ROWS)
def test_a_sweep_has_as_many_runs_as_the_page_says(name, count):
    lists = swept(name)
    assert math.prod(map(len, lists.values())) == int(count)
    for key, values in lists.items():
        for value in values:
            for model in ("tiny_llava", "tiny_showo"):
                of_connector = key == "model.connector" or (key == "tuning" and "_c" in value)
                if not (model == "tiny_showo" and of_connector):
                    compose({"overrides": f"experiment={name} model={model} {key}={value}"})


@pytest.mark.parametrize("command", [c for c in commands(PAGE) if c.startswith("fedvlm run")])
def test_its_commands_compose(command):
    words = [word for word in shlex.split(command)[2:] if not word.startswith(HYDRAS)]
    first = [re.sub(r",[^=\[\]]*$", "", word) for word in words]
    compose({"overrides": shlex.join(first)})
