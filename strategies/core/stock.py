"""Flower's own server optimisers, taking one step on the running mean."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import FLOWER_LOGGER
from flwr.serverapp.strategy import FedAvg, FedAvgM
from flwr.serverapp.strategy.fedopt import FedOpt
from numpy.typing import NDArray

from fedvlm_flwr.wire import Arrays, pack, unpack
from strategies.core.state import LoopState

WEIGHT = "num-examples"  # the stock strategies' name of a reply's weight


def stock_step(
    stock: FedOpt | FedAvgM, server_round: int, arrays: Arrays, mean: Arrays, state: LoopState
) -> Arrays:
    """The stock strategy's next arrays, its moments read from `state` and written back there.

    It is given the running mean as the only reply, so that it averages nothing itself, and it keeps
    nothing between rounds, so that a resumed run needs only `state`.
    """
    moments = {"m_t", "v_t"} if isinstance(stock, FedOpt) else {"momentum_vector"}
    _restore(stock, arrays, {name: state.section(name) for name in moments})
    ordered = {name: mean[name] for name in arrays}  # FedAvgM pairs arrays by position
    with quiet():
        record, _ = stock.aggregate_train(server_round, [as_reply(ordered)])
    assert record is not None
    for name in moments:
        state.replace_section(name, _named(getattr(stock, name), ordered))
    return unpack(record)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the stock strategies from counting replies in the log: they see one that is no reply."""
    level = FLOWER_LOGGER.level
    FLOWER_LOGGER.setLevel(logging.WARNING)
    try:
        yield
    finally:
        FLOWER_LOGGER.setLevel(level)


def _restore(stock: FedOpt | FedAvgM, arrays: Arrays, moments: Mapping[str, Arrays]) -> None:
    if isinstance(stock, FedOpt):
        stock.current_arrays = dict(arrays)
        stock.m_t, stock.v_t = moments["m_t"] or None, moments["v_t"] or None
    else:
        stock.current_arrays = pack(arrays)
        kept = moments["momentum_vector"]
        stock.momentum_vector = [kept[name] for name in arrays] if kept else None


def _named(kept: Any, mean: Arrays) -> Arrays:
    if kept is None:
        return {}
    pairs = kept.items() if isinstance(kept, dict) else zip(mean, kept, strict=True)
    return {name: np.asarray(values, dtype=np.float32) for name, values in pairs}


def as_reply(arrays: Mapping[str, NDArray[Any]], weight: float = 1.0) -> Message:
    """Arrays as a client's reply in the form that the stock strategies read, in their own dtype."""
    metrics = MetricRecord({WEIGHT: weight})
    record = ArrayRecord({name: Array(values) for name, values in arrays.items()})
    order = Message(RecordDict(), 0, "train")
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=order)


def combine_stock(stock: FedAvg, replies: Iterable[Mapping[str, NDArray[Any]]]) -> Arrays:
    """What a stock strategy makes of several replies of equal weight."""
    with quiet():
        record, _ = stock.aggregate_train(1, [as_reply(arrays) for arrays in replies])
    assert isinstance(record, ArrayRecord)
    return unpack(record)
