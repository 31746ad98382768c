from pathlib import Path

import pytest

from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.process import Process
from tests import choices


def test_a_process_reads_equal_values_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    process = Process()

    def tables(test: int) -> FederatedData:
        words = f"dataset.train_pictures=4 dataset.test_pictures={test}"
        return process.data(process.compose({"overrides": words}))

    assert tables(2) is tables(2)
    assert tables(3) is not tables(2)


def test_an_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"dataset 'mnist'; choose one of: .*easyvqa"):
        choices.dataset("mnist", {})


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.max_pictures"):
        choices.dataset("easyvqa", {"max_pictures": 3})
