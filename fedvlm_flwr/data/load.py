"""The front door to the datasets: one call from a choice to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.contracts import DatasetKind, Examines, HasFolder
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.first_import import first_import
from fedvlm_flwr.plugins import load_as

if TYPE_CHECKING:
    from fedvlm_flwr.config import Choice
    from fedvlm_flwr.data.checked import Checked
    from fedvlm_flwr.data.federated import FederatedData

SETS = "fedvlm_flwr.data.sets"


def dataset_kind(kind: str) -> DatasetKind[Any, FederatedData]:
    """The module of a dataset.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(DatasetKind, SETS, kind, "dataset")


def load_data(choice: Choice[Any]) -> FederatedData:
    """The tables of a dataset; a process reads them once, see `fedvlm_flwr.process.Process.data`.

    Raises:
        DataError: the dataset's files cannot be used.
    """
    with first_import():
        import datasets  # noqa: F401  # what every table is
    return dataset_kind(choice.kind).load(choice.params)


def examine_data(choice: Choice[Any]) -> Checked:
    """Check a dataset as a whole, whatever it allows.

    Raises:
        DataError: see `load_data`; bad records are not raised but told.
    """
    from fedvlm_flwr.data.checked import examined

    module = dataset_kind(choice.kind)
    if isinstance(module, Examines):
        report: Checked = module.examine(choice.params)
        return report
    return examined(module.load(choice.params))


def dataset_folder(choice: Choice[Any]) -> Path:
    """Where the files of a dataset in the published layout are, or will be.

    Raises:
        ConfigError: the dataset is none that lies in a folder.
    """
    if not isinstance(choice.params, HasFolder):
        raise ConfigError(f"dataset={choice.name} lies in no folder; choose one that does.")
    return choice.params.folder
