"""Which records of the configured dataset belong to which client."""

import json
import threading

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example, FederatedData, check_pictures, examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.errors import ConfigError

_shares: dict[str, list[list[int]]] = {}
_lock = threading.Lock()


def federated_data(config: Config) -> FederatedData:
    """The configured dataset."""
    return load_data(config.dataset.kind, config.dataset.params)


def client_shares(config: Config) -> list[list[int]]:
    """Row indices of the training table for each client; the same in every process.

    Raises:
        ConfigError: the partition cannot be made (more clients than pictures, alpha <= 0, ...).
    """
    parts = [vars(config.dataset), vars(config.partition), config.num_clients, config.seed]
    key = json.dumps(parts, sort_keys=True, default=str)
    with _lock:
        if key not in _shares:
            _shares[key] = partition_table(
                config.partition.kind,
                config.partition.params,
                federated_data(config).train,
                config.num_clients,
                config.seed,
            )
        return _shares[key]


def client_examples(config: Config, client: int) -> list[Example]:
    """A client's own training examples, with every picture checked.

    Raises:
        ConfigError: there is no such client, or the partition cannot be made.
        DataError: a picture is missing or unreadable; names the record and the path.
    """
    shares = client_shares(config)
    if not 0 <= client < len(shares):
        raise ConfigError(
            f"partition-id={client} but num_clients={config.num_clients}; ids go from 0 to "
            f"{config.num_clients - 1}."
        )
    data = federated_data(config)
    found = examples(data.train, data.root, shares[client])
    check_pictures(found)
    return found
