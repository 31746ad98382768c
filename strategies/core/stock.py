"""Flower's own robust strategies, given all replies of a round at once."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import FLOWER_LOGGER
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays, float32

WEIGHT = "num-examples"  # the stock strategies' name of a reply's weight


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the stock strategies from counting replies in the log: they see one that is no reply."""
    level = FLOWER_LOGGER.level
    FLOWER_LOGGER.setLevel(logging.WARNING)
    try:
        yield
    finally:
        FLOWER_LOGGER.setLevel(level)


def as_reply(arrays: Mapping[str, NDArray[Any]], weight: float = 1.0) -> Message:
    """Arrays as a client's reply in the form that the stock strategies read, in their own dtype."""
    metrics = MetricRecord({WEIGHT: weight})
    record = ArrayRecord({name: Array(values) for name, values in arrays.items()})
    request = Message(RecordDict(), 0, "train")
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=request)


def aggregate_stock(stock: FedAvg, replies: Iterable[Mapping[str, NDArray[Any]]]) -> Arrays:
    """What a stock strategy makes of several replies of equal weight."""
    with quiet():
        record, _ = stock.aggregate_train(1, [as_reply(arrays) for arrays in replies])
    assert isinstance(record, ArrayRecord)
    return {name: float32(array.numpy()) for name, array in record.items()}
