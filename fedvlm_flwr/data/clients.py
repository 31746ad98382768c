"""Which records of a dataset belong to which client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.contracts import GoesBy, Owning
from fedvlm_flwr.data.federated import Example, FederatedData, check_pictures, examples
from fedvlm_flwr.data.partitions import partition_kind, partition_table
from fedvlm_flwr.data.partitions.base import field_values, unit_names, whole_numbers
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.seeding import stream

if TYPE_CHECKING:
    from datasets import Dataset

    from fedvlm_flwr.config import Choice

Shares = list[list[int]]  # row indices for each client
EXAMPLES_KEPT = 1 << 13  # as many as the texts whose tokens are


def train_shares(
    partition: Choice[Any], data: FederatedData, num_clients: int, seed: int
) -> Shares:
    """Row indices of the training table for each client; the same in every process.

    Raises:
        ConfigError: the partition cannot be made (more clients than pictures, ...).
    """
    return partition_table(partition, data.train, num_clients, seed)


def assign_test(partition: Choice[Any], data: FederatedData, shares: Shares, seed: int) -> Shares:
    """Row indices of the test table for each client: its own share of the global test set.

    Where the dataset's files say whose test records are, and the partition goes by them, it is as
    they say. Other test records are assigned so that a client's share of them is distributed like
    its training records, over the partition's field: see `assign_alike`. Every test record is in
    exactly one share; a share may be empty.

    Args:
        shares: the clients' rows of the training table.

    Raises:
        ConfigError: the test table lacks the partition's field.
        DataError: a test record has no value of the field, or is that of an unknown client.
    """
    module = partition_kind(partition.kind)
    owners: list[int | None] = [None] * len(data.test)
    by = field_of(partition)
    if isinstance(module, Owning):  # a partition by what the files say may know the test records
        owners, by = module.owners(data.train, data.test), "task"
    free = [row for row, owner in enumerate(owners) if owner is None]
    parts = assign_alike(data.train, shares, data.test.select(free), by, seed)
    result = [[free[i] for i in part] for part in parts]
    for row, owner in enumerate(owners):
        if owner is not None:
            result[owner].append(row)
    return [sorted(part) for part in result]


def assign_alike(
    train: Dataset, shares: Sequence[Sequence[int]], test: Dataset, by: str | None, seed: int
) -> Shares:
    """Assign the rows of `test` so that each share is distributed like the one of `train`.

    The test pictures with a value of the field `by` (None: all of them) go to the clients in
    proportion to the clients' training records with it; those with a value that nobody trains on,
    in proportion to all training records. A picture's rows stay together where they have one value.

    Returns:
        For each client the sorted row indices; every row in one part, parts may be empty.

    Raises:
        ConfigError: a table has no such field.
        DataError: a row has no value of it.
    """
    train_counts: dict[str, list[int]] = {}  # training records with a value, by client
    values = [""] * len(train) if by is None else field_values(train, by)
    for client, rows in enumerate(shares):
        for row in rows:
            train_counts.setdefault(values[row], [0] * len(shares))[client] += 1
    test_rows: dict[str, dict[str, list[int]]] = {}  # test rows by value and picture
    values = [""] * len(test) if by is None else field_values(test, by, which="test")
    for row, (value, image) in enumerate(zip(values, unit_names(test), strict=True)):
        test_rows.setdefault(value, {}).setdefault(image, []).append(row)
    parts: Shares = [[] for _ in shares]
    remainder = [0.0] * len(shares)
    for i, (value, by_picture) in enumerate(sorted(test_rows.items())):
        units = list(by_picture.values())
        weights = train_counts.get(value, [len(rows) for rows in shares])
        quotas = [len(units) * weight / sum(weights) for weight in weights]
        order = iter(stream(seed, "test shares", i).permutation(len(units)))
        for client, size in enumerate(whole_numbers(quotas, remainder)):
            parts[client] += [row for _ in range(size) for row in units[next(order)]]
    return [sorted(part) for part in parts]


def field_of(partition: Choice[Any]) -> str | None:
    """The field of the records that a partition goes by; None: it goes by none."""
    return partition.params.by if isinstance(partition.params, GoesBy) else None


def rows_of(shares: Shares, client: int) -> list[int]:
    """A client's own rows of the training table.

    Raises:
        ConfigError: there is no such client.
    """
    if not 0 <= client < len(shares):
        raise ConfigError(
            f"partition-id={client} but num_clients={len(shares)}; ids go from 0 to "
            f"{len(shares) - 1}."
        )
    return shares[client]


def training_examples(data: FederatedData, rows: Sequence[int]) -> list[Example]:
    """The examples of some rows of the training table, with every picture checked.

    Raises:
        DataError: a picture is missing or unreadable; names the record and the path.
    """
    memory = data.examples_read
    by_row = {row: one for row in rows if (one := memory.get(row)) is not None}
    missing = [row for row in dict.fromkeys(rows) if row not in by_row]
    if missing:
        read = examples(
            data.train, data.root, missing, data.box_decimals, cut_answers=data.cut_answers
        )
        by_row.update(zip(missing, read, strict=True))
        if len(memory) + len(missing) > EXAMPLES_KEPT:
            memory.clear()
        memory.update(zip(missing[:EXAMPLES_KEPT], read, strict=False))
    own = [by_row[row] for row in rows]
    check_pictures(own, data.max_pixels)
    return own
