"""What one process holds: composed configurations, tables, clients' shares, the loaded model."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fedvlm_flwr.config import Config, Scalar, compose
from fedvlm_flwr.config.compose import to_overrides
from fedvlm_flwr.data.clients import (
    Shares,
    assign_test,
    rows_of,
    train_shares,
    training_examples,
)
from fedvlm_flwr.data.fitting import fitted
from fedvlm_flwr.data.holding_out import with_validation
from fedvlm_flwr.data.layout import TEST
from fedvlm_flwr.data.limits import Limits
from fedvlm_flwr.data.load import load_data

if TYPE_CHECKING:
    import torch

    from fedvlm_flwr.data.federated import Example, FederatedData
    from fedvlm_flwr.models.resident import Resident

TABLES = 8  # datasets that stay open

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Values by key, each made once, whichever thread asks first.

    Args:
        most: values that are held; the oldest goes before another is made. None: all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._values: dict[str, Value] = {}
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not there."""
        with self._lock:
            if key not in self._values:
                while self._most is not None and len(self._values) >= self._most:
                    del self._values[next(iter(self._values))]
                self._values[key] = make()
            return self._values[key]

    def __iter__(self) -> Iterator[Value]:
        """The values that are there now."""
        with self._lock:
            return iter(list(self._values.values()))


class Process:
    """The owner of what a process keeps between messages and runs; safe for threads.

    Everything is made when it is first asked for, and is the same object for all who ask: in the
    in-process engine the server and its clients share one model.
    """

    def __init__(self) -> None:
        self._configs: Once[Config] = Once()
        self._readings: Once[Config] = Once()  # the same by run-config: every message brings one
        self._tables: Once[FederatedData] = Once(TABLES)
        self._takes: Once[range] = Once()  # pictures at once, by model
        self._shares: Once[Shares] = Once()
        self._model: Once[Resident] = Once(1)  # one base at most
        self._beside: Once[Any] = Once(1)  # what goes with the model that is there
        self._loads = 0

    def compose(self, run_config: Mapping[str, Scalar]) -> Config:
        """The configuration of a run-config, see `fedvlm_flwr.config.compose`.

        Raises:
            ConfigError: an unknown key or choice, a wrong value, a contradiction.
        """

        def read() -> Config:
            key = repr(to_overrides(run_config))
            return self._configs.get(key, lambda: compose(run_config))

        return self._readings.get(repr(sorted(run_config.items())), read)

    def remember(self, run_config: Mapping[str, Scalar], config: Config) -> None:
        """Take what a run-config composes to from who has composed it already."""
        self._configs.get(repr(to_overrides(run_config)), lambda: config)

    def data(self, config: Config) -> FederatedData:
        """The tables of the configured dataset; `test` is the split that is to be scored.

        With real sites a table may be empty: a server need not train, nor a site score.

        Raises:
            ConfigError: the dataset has no such split.
            DataError: the dataset's files cannot be used, or more records are bad than may be.
            ModelError: what the model takes cannot be told.
        """
        data = self.tables(config)
        if not config.engine.real_sites:
            data.require("training", "test")
        return data

    def tables(self, config: Config) -> FederatedData:
        """The same where any of the tables may be empty.

        Records that show more pictures than the model takes, or fewer, are bad ones.

        Raises:
            FedVLMError: see `data`.
        """
        return self._named_tables(config)[1]

    def _named_tables(self, config: Config) -> tuple[str, FederatedData]:
        """The tables, and a name by all that they come from."""
        name = repr(config.dataset)
        data = self._tables.get(name, lambda: load_data(config.dataset))
        if not data.shows_one:
            name, whole = repr((config.dataset, config.model)), data
            data = self._tables.get(name, lambda: self._fitted(config, whole))
        if config.eval.split == TEST and config.eval.keep != "best":
            return name, data
        fraction, seed = config.eval.validation_fraction, config.seed
        name = f"{name} validation {fraction} {seed}"
        validation = self._tables.get(
            name, lambda: with_validation(data, fraction, seed).scored_by_validation()
        )
        if config.eval.split != TEST:
            return name, validation
        name = f"{name} for keep=best"  # nobody trains on what chooses the round
        return name, self._tables.get(name, lambda: replace(data, train=validation.train))

    def _fitted(self, config: Config, data: FederatedData) -> FederatedData:
        params, takes = config.dataset.params, self.takes(config)
        allowed = params.allow_errors if isinstance(params, Limits) else 0
        return fitted(data, takes, config.model.name, allowed)

    def takes(self, config: Config) -> range:
        """How many pictures the configured model may be shown at once; asks one that is loaded.

        Raises:
            ModelError: its files cannot be read.
        """
        from fedvlm_flwr.models import model_pictures

        return self._takes.get(repr(config.model), lambda: model_pictures(config.model))

    def forget_data(self) -> None:
        """Read tables and pictures anew when next asked for them: their files may have changed."""
        self._tables = Once(TABLES)
        self._shares = Once()
        self._beside = Once(1)
        for model in self._model:
            model.features.forget()

    def shares(self, config: Config) -> Shares:
        """Row indices of the training table for each client; the same in every process.

        A real site holds all of its table, and there is no partition.

        Raises:
            ConfigError: the partition cannot be made (more clients than pictures, ...).
        """
        data = self.data(config)
        if config.engine.real_sites:
            return [list(range(len(data.train)))]
        return self._shares.get(
            self._name("train", config),
            lambda: train_shares(config.partition, data, config.fixed_clients, config.seed),
        )

    def test_shares(self, config: Config) -> Shares:
        """Row indices of the test table for each client, see `assign_test`.

        Raises:
            ConfigError: see `shares`, or the test table lacks the partition's field.
            DataError: a test record has no value of the field, or is that of an unknown client.
        """
        shares, data = self.shares(config), self.data(config)
        if config.engine.real_sites:
            return [list(range(len(data.test)))]
        return self._shares.get(
            self._name("test", config),
            lambda: assign_test(config.partition, data, shares, config.seed),
        )

    def _name(self, table: str, config: Config) -> str:
        tables, _ = self._named_tables(config)
        return repr((table, tables, config.partition, config.num_clients, config.seed))

    def examples_of(self, config: Config, client: int) -> list[Example]:
        """A client's own training examples, with every picture checked.

        Raises:
            ConfigError: there is no such client, or the partition cannot be made.
            DataError: a picture is missing or unreadable; names the record and the path.
        """
        return self.examples_at(config, self.rows_of(config, client))

    def rows_of(self, config: Config, client: int) -> list[int]:
        """A client's own rows of the training table; nothing of them is read.

        Raises:
            ConfigError: there is no such client, or the partition cannot be made.
        """
        return rows_of(self.shares(config), client)

    def examples_at(self, config: Config, rows: Sequence[int]) -> list[Example]:
        """The training examples of some rows of the table, with every picture checked.

        Raises:
            DataError: a picture is missing or unreadable; names the record and the path.
        """
        return training_examples(self.data(config), rows)

    def model(self, config: Config, device: torch.device) -> Resident:
        """The loaded model of a configuration; another model, tuning, seed or device replaces it.

        Raises:
            ConfigError: the tuning does not suit the model.
            ModelError: the model cannot be loaded, or lacks a part that is to be trained.
        """
        memory = (config.engine.feature_megabytes, config.engine.features_on_disk)
        key = repr((config.model, config.tuning, config.seed, str(device), memory))
        return self._model.get(key, lambda: self._load(config, device))

    def _load(self, config: Config, device: torch.device) -> Resident:
        from fedvlm_flwr.models.resident import load_resident

        self._beside = Once(1)
        model = load_resident(config, device)
        self._takes.get(repr(config.model), lambda: model.vlm.pictures)
        self._loads += 1
        return model

    def beside_model(self, config: Config, make: Callable[[], Value]) -> Value:
        """The one thing that goes with the model and the tables of a configuration, made once."""
        value: Value = self._beside.get(repr(config), make)
        return value

    @property
    def model_loads(self) -> int:
        """How many times a base model was loaded."""
        return self._loads

    def usage(self) -> dict[str, int]:
        """What the process has used so far: peak resident memory in bytes, base models loaded."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
        return {"peak_memory_bytes": peak, "model_loads": self._loads}


_PROCESS = Process()


def this_process() -> Process:
    """The one of this process: for the doors of the apps and the command line, who pass it on."""
    return _PROCESS
