"""The records that a model can be shown: it may not take several pictures at once, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fedvlm_flwr.data.check import Problem
from fedvlm_flwr.data.layout import TEST, TRAIN, VALIDATION
from fedvlm_flwr.data.records import counted, pictures_by_row
from fedvlm_flwr.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

    from fedvlm_flwr.data.checked import Checked
    from fedvlm_flwr.data.federated import FederatedData

KIND = "records that show another number of pictures than the model takes"
CURE = "choose a model that takes them (docs/models.md)"


def fitted(data: FederatedData, takes: range, model: str, allowed: int) -> FederatedData:
    """The dataset without the records that a model does not take, if no more are bad than may be.

    Args:
        takes: how many pictures the model may be shown.
        model: its name, for the message.
        allowed: bad records that may be left out, those among them that are so already.

    Raises:
        DataError: more are.
    """
    odd = [problem for split in _tables(data) for problem in _misfits(data, split, takes, model)]
    bad = data.left_out + len(odd)
    if bad > allowed:
        raise DataError(
            f"{len(odd)} records of {data.root} show another number of pictures than model={model} "
            f"takes, which is {counted(takes)} (first: {odd[0]}); {CURE}, or have them left out "
            f"with dataset.allow_errors={bad}."
        )
    return replace(data, left_out=bad, **_without_misfits(data, takes))


def fitted_check(data: Checked, takes: range, model: str) -> Checked:
    """The same of a dataset that is checked: such records are among its problems."""
    odd = [problem for split in _tables(data) for problem in _misfits(data, split, takes, model)]
    return replace(data, problems=[*data.problems, *odd], **_without_misfits(data, takes))


def _tables(data: FederatedData | Checked) -> dict[str, Dataset]:
    tables = {TRAIN: data.train, VALIDATION: data.validation, TEST: data.test}
    return {split: table for split, table in tables.items() if table is not None}


def _misfits(
    data: FederatedData | Checked, split: str, takes: range, model: str
) -> Iterator[Problem]:
    table = _tables(data)[split]
    for row, pictures in enumerate(pictures_by_row(table)):
        if len(pictures) not in takes:
            count = len(pictures)
            text = f"it shows {count} pictures, and model={model} takes {counted(takes)}; {CURE}"
            yield Problem(_number(split, row), split, table[row]["id"], KIND, text)


def _number(split: str, row: int) -> int:
    """A number that no row of the files has."""
    return -(1 + 3 * row + (TRAIN, VALIDATION, TEST).index(split))


def _without_misfits(data: FederatedData | Checked, takes: range) -> dict[str, Dataset]:
    return {
        split: table.select(
            [i for i, own in enumerate(pictures_by_row(table)) if len(own) in takes]
        )
        for split, table in _tables(data).items()
    }
