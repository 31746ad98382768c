"""The front door to the datasets: one call from a name and its YAML values to the tables."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.checked import Checked, examined
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.plugins import load_module


def load_data(name: str, params: Mapping[str, Any]) -> FederatedData:
    """Load a dataset once per process and set of values.

    Args:
        name: a module of `fedvlm_flwr.data.sets`.
        params: the values of its `Params`, without `name`.

    Raises:
        ConfigError: unknown dataset, unknown or missing key, value out of range.
        DataError: the dataset's files cannot be used.
    """
    return _load(name, json.dumps(dict(params), sort_keys=True))


@lru_cache(maxsize=8)
def _load(name: str, params: str) -> FederatedData:
    module = load_module("fedvlm_flwr.data.sets", name, "dataset")
    data = module.load(typed(module.Params, json.loads(params), "dataset"))
    assert isinstance(data, FederatedData)
    return data


def examine_data(name: str, params: Mapping[str, Any]) -> Checked:
    """Check a dataset as a whole, whatever it allows.

    Raises:
        ConfigError, DataError: see `load_data`; bad records are not raised but told.
    """
    module = load_module("fedvlm_flwr.data.sets", name, "dataset")
    if hasattr(module, "examine"):
        found: Checked = module.examine(typed(module.Params, params, "dataset"))
        return found
    return examined(load_data(name, params))


def dataset_folder(name: str, params: Mapping[str, Any]) -> Path:
    """Where the files of a dataset in the published layout are, or will be.

    Raises:
        ConfigError: see `load_data`.
    """
    module = load_module("fedvlm_flwr.data.sets", name, "dataset")
    folder: Path = typed(module.Params, params, "dataset").folder
    return folder
