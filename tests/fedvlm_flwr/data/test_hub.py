"""A dataset of the hub, by folders that `datasets` loads as it loads the hub's."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import ConfigError, DataError
from tests import choices, forms
from tests.fedvlm_flwr.data.test_folder import params


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    return tmp_path / "home"


def load(hub: str, **changes: Any) -> FederatedData:
    return load_data(choices.dataset("folder", params(None, hub=hub, task="vqa", **changes)))


def pairs(data: FederatedData) -> list[tuple[str, str]]:
    tables = (data.train, data.test)
    return [(e.question, e.answer) for table in tables for e in examples(table, data.root)]


@pytest.mark.parametrize("form", ["hub parquet", "imagefolder"])
def test_a_dataset_is_read_through_datasets_and_kept(form: str, tmp_path: Path) -> None:
    """Pictures inside the rows, and in files beside them."""
    root = forms.write(form, tmp_path / "set")
    data = load(str(root))
    assert sorted(pairs(data)) == sorted(zip(forms.QUESTIONS, forms.ANSWERS, strict=True))
    shutil.rmtree(root)  # nothing is fetched again, pictures included
    shutil.rmtree(tmp_path / "hf")
    shutil.rmtree(tmp_path / "home" / "datasets")
    again = load(str(root))
    assert pairs(again) == pairs(data)
    assert all(example.images[0].is_file() for example in examples(again.train, again.root))


def test_splits_are_the_dataset_s_own(tmp_path: Path) -> None:
    root = forms.write("hub parquet", tmp_path / "set")
    (path,) = (root / "data").iterdir()
    part = "00000-of-00001.parquet"
    shutil.copy(path, root / "data" / f"test-{part}")
    path.rename(root / "data" / f"train-{part}")
    data = load(str(root), shared_pictures="allow")
    assert [len(data.train), len(data.test)] == [12, 12]


def test_without_the_hub_one_sentence_tells_the_cure(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    why = r"dataset\.hub=nobody/nothing cannot be loaded \(.*set dataset\.root to their folder"
    with pytest.raises(DataError, match=why) as caught:
        load("nobody/nothing")
    assert "\n" not in str(caught.value)
    assert not list(home.glob("hub/*"))


def test_one_of_folder_and_hub_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.root=.* and dataset\.hub=a/b are both set"):
        load_data(choices.dataset("folder", params(tmp_path, hub="a/b")))
