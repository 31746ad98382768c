"""What holds for every source, read from its miniature with the values of its YAML."""

import importlib
from collections import Counter
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.data.making_settings import read_sources
from fedvlm_flwr.data.sources import source_module
from fedvlm_flwr.plugins import available
from fedvlm_flwr.tasks import task_names

CONF = Path(__file__).parents[4] / "conf" / "source"
ALL = available("fedvlm_flwr.data.sources")


def test_each_has_its_yaml() -> None:
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == ALL


@pytest.mark.parametrize("name", ALL)
def test_it_has_records_of_both_splits_with_ids_and_tasks(name: str, tmp_path: Path) -> None:
    importlib.import_module(f"tests.miniatures.{name}").build(tmp_path / name)
    values = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    reading = read_sources({name: values}, "sources")[name].reading
    items = list(source_module(name).read(tmp_path / name, reading))
    assert {item.split for item in items} == {"train", "test"}
    assert {item.task for item in items} <= set(task_names())
    assert set(Counter(item.id for item in items).values()) == {1}
    assert all(item.question for item in items)
