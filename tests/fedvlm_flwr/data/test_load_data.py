from pathlib import Path

import pytest

from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import ConfigError


def test_equal_values_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    first = load_data("easyvqa", {"train_pictures": 4, "test_pictures": 2})
    assert load_data("easyvqa", {"test_pictures": 2, "train_pictures": 4}) is first
    assert load_data("easyvqa", {"test_pictures": 3, "train_pictures": 4}) is not first


def test_an_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"dataset 'mnist'; choose one of: .*easyvqa"):
        load_data("mnist", {})


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.max_pictures"):
        load_data("easyvqa", {"max_pictures": 3})
