"""What the server asks of a client, in the message's `config` record."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flwr.app import ConfigRecord

from fedvlm_flwr.errors import RunError


@dataclass(frozen=True)
class Order:
    """One client's part in a round of training, or in an evaluation.

    Attributes:
        data: the clients whose examples are used: its own, or several for the pooled baseline.
        kept_round: the round after which this client kept what it starts from; 0: nothing yet.
        run: the run's own id, under which clients keep what stays with them.
        full: evaluate on the whole test set rather than on a sample.
    """

    client: int
    stage: int
    round: int
    data: tuple[int, ...]
    kept_round: int = 0
    run: str = ""
    full: bool = True

    def record(self, more: Mapping[str, Any] | None = None) -> ConfigRecord:
        """As a record, with further values beside it."""
        own = {name: getattr(self, name) for name in _NAMES}
        own = {name: value for name, value in own.items() if value != ""}
        return ConfigRecord({**(more or {}), **own, "data": list(self.data)})

    @classmethod
    def read(cls, record: ConfigRecord) -> "Order":
        """The order in a record.

        Raises:
            RunError: a value is missing: the two sides run different versions.
        """
        if missing := [name for name in _NAMES if name not in record and name not in _MAY_BE_EMPTY]:
            raise RunError(
                f"The message lacks config.{missing[0]}; install the same version of the app on "
                "both sides."
            )
        values: dict[str, Any] = {name: record[name] for name in _NAMES if name in record}
        return cls(**{**values, "data": tuple(values["data"])})


_NAMES = tuple(field.name for field in fields(Order))
_MAY_BE_EMPTY = {"run"}  # and is left out of the record then: Flower cannot weigh an empty string
