"""What the partitions share: the units that are assigned, and their fields."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedvlm_flwr.data.records import UNIT, pictures_by_row
from fedvlm_flwr.data.units import joined
from fedvlm_flwr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from datasets import Dataset
    from flwr_datasets.partitioner import Partitioner


@dataclass(frozen=True, slots=True)
class Units:
    """What is assigned as a whole: the rows of one picture, or single rows.

    `rows[u]` are the table's row indices of unit `u`, `values[u]` the unit's value of a field;
    `what` names the units in messages.
    """

    rows: list[list[int]]
    values: list[str]
    what: str = "pictures"


def fields(table: Dataset) -> list[str]:
    """The fields of a table that hold one value a row."""
    from datasets import ClassLabel, Value

    return [
        name for name, feature in table.features.items() if isinstance(feature, Value | ClassLabel)
    ]


def field_values(
    table: Dataset, by: str, key: str = "partition.by", which: str = "training"
) -> list[str]:
    """The values of a field, one a row, as text.

    Args:
        table: the records.
        by: the field.
        key: what the user chose it with, for messages.
        which: the table's name, for messages.

    Raises:
        ConfigError: the table has no such field of one value a row; lists the ones it has.
        DataError: a row has no value (null or an empty text); names the row.
    """
    names = fields(table)
    if by not in names:
        raise ConfigError(
            f"{key}={by} is no field of the {which} table; choose one of: {', '.join(names)}."
        )
    values = table[by][:]
    for row, value in enumerate(values):
        if value is None or value == "":
            name = f" (id '{table[row]['id']}')" if "id" in names else ""
            raise DataError(
                f"Row {row}{name} of the {which} table has no {by}; fill it in or choose another "
                f"{key}."
            )
    return [str(value) for value in values]


def unit_names(table: Dataset) -> list[str]:
    """What each row must not be parted from: its pictures, or what the dataset keeps together."""
    if UNIT in table.column_names:
        units: list[str] = table[UNIT][:]
        return units
    return joined(pictures_by_row(table))


def pictures(table: Dataset, rows: Sequence[int] | None = None) -> list[list[int]]:
    """Row indices by picture (of the given rows only), in the order of first appearance.

    Where the dataset keeps the rows of several pictures together (of a patient, say), by those.
    """
    images = unit_names(table)
    by_image: dict[str, list[int]] = {}
    for row in range(len(images)) if rows is None else rows:
        by_image.setdefault(images[row], []).append(row)
    return list(by_image.values())


def units_of(table: Dataset, by: str) -> Units:
    """Pictures where each has one value of the field `by`, else (the task) single rows.

    What the dataset keeps together is a unit whatever its values; it has its most frequent one.

    Raises:
        ConfigError, DataError: see `field_values`.
    """
    values = field_values(table, by)
    whole = pictures(table)
    if UNIT in table.column_names:
        most = [Counter(values[row] for row in rows).most_common(1)[0][0] for rows in whole]
        return Units(whole, most, "groups")
    if any(len({values[row] for row in rows}) > 1 for rows in whole):
        return Units([[row] for row in range(len(values))], values, "records")
    return Units(whole, [values[rows[0]] for rows in whole])


def assign(
    partitioner: Partitioner, units: Units, parts: int, generator: np.random.Generator
) -> list[list[int]]:
    """Assign shuffled units with one of flwr-datasets' partitioners.

    The shuffle is ours: those partitioners cut runs of neighbors, which in a table of records
    are alike.

    Returns:
        For each part its sorted row indices.

    Raises:
        ConfigError: there are more parts than units.
    """
    from datasets import Dataset

    order = _shuffled(units, parts, generator)
    partitioner.dataset = Dataset.from_dict(
        {"unit": order, "value": [units.values[unit] for unit in order]}
    )
    shares = [partitioner.load_partition(part)["unit"][:] for part in range(parts)]
    return [sorted(row for unit in share for row in units.rows[unit]) for share in shares]


def _shuffled(units: Units, parts: int, generator: np.random.Generator) -> list[int]:
    """The units in a random order.

    Raises:
        ConfigError: there are more parts than units.
    """
    if parts > len(units.rows):
        raise ConfigError(
            f"num_clients={parts} but the training table has {len(units.rows)} {units.what}; "
            f"lower num_clients to {len(units.rows)} or fewer."
        )
    return [int(unit) for unit in generator.permutation(len(units.rows))]


def assign_iid(
    rows: list[list[int]], parts: int, generator: np.random.Generator
) -> list[list[int]]:
    """Assign units in a random order to parts whose numbers of units differ by at most one.

    The parts are those of flwr-datasets' `IidPartitioner`, which makes a table of each: a
    millisecond and more, in every process, where there are thousands of clients.

    Raises:
        ConfigError: there are more parts than units.
    """
    units = Units(rows, [""] * len(rows))
    order = _shuffled(units, parts, generator)
    shares = np.array_split(np.asarray(order, dtype=np.int64), parts)
    return [sorted(row for unit in share for row in rows[unit]) for share in shares]


def whole_numbers(quotas: Sequence[float], remainder: list[float] | None = None) -> list[int]:
    """Round quotas to whole numbers of the same sum, each down or up (largest remainders).

    Args:
        quotas: not negative; their sum is a whole number.
        remainder: what earlier roundings withheld from each; it counts together with what this one
            would withhold, and is brought up to date. Without it, many small quotas that are alike
            would all be rounded up for the same few.
    """
    due = [0.0] * len(quotas) if remainder is None else remainder
    result = [math.floor(quota) for quota in quotas]
    remainders = [quota - whole for quota, whole in zip(quotas, result, strict=True)]
    order = sorted(
        (i for i, remainder in enumerate(remainders) if remainder > 0),
        key=lambda i: (-(remainders[i] + due[i]), i),
    )
    for i in order[: round(sum(remainders))]:
        result[i] += 1
    for i, quota in enumerate(quotas):
        due[i] += quota - result[i]
    return result
