"""What the partitions share: the units that are dealt, and their fields."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import ClassLabel, Dataset, Value
from flwr_datasets.partitioner import IidPartitioner, Partitioner

from fedvlm_flwr.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Units:
    """What is dealt as a whole: the rows of one picture, or single rows.

    `rows[u]` are the table's row indices of unit `u`, `values[u]` the unit's value of a field.
    """

    rows: list[list[int]]
    values: list[str]


def field_values(table: Dataset, by: str) -> list[str]:
    """The values of a field, one a row, as text.

    Raises:
        ConfigError: the table has no such field of one value a row; lists the ones it has.
        DataError: a row has no value.
    """
    known = [
        name for name, feature in table.features.items() if isinstance(feature, Value | ClassLabel)
    ]
    if by not in known:
        raise ConfigError(
            f"partition.by={by} is no field of the training table; choose one of: "
            f"{', '.join(known)}."
        )
    values = table[by][:]
    if None in values:
        raise DataError(
            f"Row {values.index(None)} of the training table has no {by}; fill it in or choose "
            "another partition.by."
        )
    return [str(value) for value in values]


def pictures(table: Dataset, rows: Sequence[int] | None = None) -> list[list[int]]:
    """Row indices by picture (of the given rows only), in the order of first appearance."""
    images = table["image"][:]
    found: dict[str, list[int]] = {}
    for row in range(len(images)) if rows is None else rows:
        found.setdefault(images[row], []).append(row)
    return list(found.values())


def units(table: Dataset, by: str) -> Units:
    """Pictures where each has one value of the field `by`, else (the task) single rows.

    Raises:
        ConfigError, DataError: see `field_values`.
    """
    values = field_values(table, by)
    whole = pictures(table)
    if any(len({values[row] for row in rows}) > 1 for rows in whole):
        return Units([[row] for row in range(len(values))], values)
    return Units(whole, [values[rows[0]] for rows in whole])


def deal(
    partitioner: Partitioner, chosen: Units, parts: int, generator: np.random.Generator
) -> list[list[int]]:
    """Deal shuffled units with one of flwr-datasets' partitioners.

    The shuffle is ours: those partitioners cut runs of neighbours, which in a table of records
    are alike.

    Returns:
        For each part its sorted row indices.
    """
    order = [int(unit) for unit in generator.permutation(len(chosen.rows))]
    partitioner.dataset = Dataset.from_dict(
        {"unit": order, "value": [chosen.values[unit] for unit in order]}
    )
    dealt = [partitioner.load_partition(part)["unit"][:] for part in range(parts)]
    return [sorted(row for unit in part for row in chosen.rows[unit]) for part in dealt]


def deal_iid(rows: list[list[int]], parts: int, generator: np.random.Generator) -> list[list[int]]:
    """Deal units in a random order to parts whose numbers of units differ by at most one."""
    return deal(IidPartitioner(parts), Units(rows, [""] * len(rows)), parts, generator)
