"""Flower's own classes behind the running mean."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.common.logger import FLOWER_LOGGER
from flwr.serverapp.strategy import FedAdagrad, FedAvg, FedAvgM

from fedvlm_flwr.engines.inprocess import InProcessGrid
from strategies.core.state import LoopState
from strategies.core.stock import as_reply, combine_stock, stock_step

OLD = {"z": np.zeros((1, 2), np.float32), "a": np.array(3.0, np.float32)}
MEAN = {"a": np.array(5.0, np.float32), "z": np.array([[1.0, 2.0]], np.float32)}


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What goes to Flower's log; and messages belong to a run."""
    InProcessGrid(ClientApp(), {}, 1)
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Lines()
    FLOWER_LOGGER.addHandler(handler)
    yield lines
    FLOWER_LOGGER.removeHandler(handler)


def test_arrays_are_paired_by_name_whatever_their_order(logged: list[str]) -> None:
    for stock in (FedAvgM(server_momentum=0.5), FedAdagrad(eta=1e6, tau=1e6)):
        state = LoopState(OLD)
        result = stock_step(stock, 1, OLD, MEAN, state)
        assert list(result) == list(OLD)
        for name, values in MEAN.items():
            np.testing.assert_allclose(result[name], values, rtol=1e-4)
            assert result[name].dtype == np.float32
            assert result[name].shape == values.shape
        for name, values in state.server.items():
            assert isinstance(values, np.ndarray), name  # a scalar could not be saved
            assert values.dtype == np.float32
            assert values.shape == MEAN[name.rpartition("/")[2]].shape


def test_the_log_stays_free_of_replies_that_are_none(logged: list[str]) -> None:
    level = FLOWER_LOGGER.level
    stock_step(FedAvgM(server_momentum=0.5), 1, OLD, MEAN, LoopState(OLD))
    combine_stock(FedAvg(), [OLD, MEAN])
    assert logged == []
    assert FLOWER_LOGGER.level == level
    FedAvg().aggregate_train(1, [as_reply(MEAN)])
    assert logged  # Flower does count them elsewhere


def test_several_replies_keep_their_precision_on_the_way_in(logged: list[str]) -> None:
    tiny = {"w": np.array([1.0, 1.0 + 1e-12])}
    record = as_reply(tiny).content["arrays"]
    assert isinstance(record, ArrayRecord)
    np.testing.assert_array_equal(record["w"].numpy(), tiny["w"])
    result = combine_stock(FedAvg(), [tiny, {"w": np.array([3.0, 3.0])}])["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [2.0, 2.0])
