"""As the dataset's files say: the column `client` holds the number of the client of each record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedvlm_flwr.data.partitions.base import field_values, fields
from fedvlm_flwr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from datasets import Dataset

CLIENT = "client"


@dataclass(frozen=True)
class Params:
    """Nothing to set."""


def partition(table: Dataset, num_clients: int, _seed: int, _params: Params) -> list[list[int]]:
    """Sorted row indices for each client; clients follow the order of their numbers.

    Raises:
        ConfigError: the table does not tell clients, or tells another number of them.
        DataError: some records have no client.
    """
    if not _tells_clients(table):
        others = ", ".join(name for name in fields(table) if name != CLIENT)
        raise ConfigError(
            "The training table does not say whose a record is, in a column 'client'; choose "
            "partition=iid, or partition=natural or dirichlet with partition.by set to one of: "
            f"{others}."
        )
    owners = field_values(table, CLIENT, "partition")
    names = _in_order(owners)
    if num_clients != len(names):
        raise ConfigError(
            f"num_clients={num_clients} but the files are those of {len(names)} clients; set "
            f"num_clients={len(names)} or choose another partition."
        )
    return [[row for row, owner in enumerate(owners) if owner == name] for name in names]


def owners(train: Dataset, test: Dataset) -> list[int | None]:
    """For each record of the test table the client that it belongs to; None: the files do not say.

    Raises:
        DataError: a record's client has no training records.
    """
    if not _tells_clients(test):
        return [None] * len(test)
    names = _in_order(train[CLIENT][:])
    place = {name: client for client, name in enumerate(names)}
    clients = [None if owner in (None, "") else str(owner) for owner in test[CLIENT][:]]
    for row, owner in enumerate(clients):
        if owner is not None and owner not in place:
            raise DataError(
                f"Row {row} of the test table is client {owner}'s, who has no training records "
                f"(clients that have: {', '.join(names)}); add them or change the record's client."
            )
    return [None if owner is None else place[owner] for owner in clients]


def _tells_clients(table: Dataset) -> bool:
    return CLIENT in fields(table) and any(owner not in (None, "") for owner in table[CLIENT][:])


def _in_order(owners: list[str]) -> list[str]:
    """The distinct clients: numbers by size, then names by the alphabet."""
    return sorted(
        {str(owner) for owner in owners},
        key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
    )
