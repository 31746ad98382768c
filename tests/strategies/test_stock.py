"""Flower's own robust classes on replies that are none of its own."""

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.common.logger import FLOWER_LOGGER
from flwr.serverapp.strategy import FedAvg

from fedvlm_flwr.engines.inprocess import InProcessGrid
from strategies.core.stock import aggregate_stock, as_reply

OLD = {"z": np.zeros((1, 2), np.float32), "a": np.array(3.0, np.float32)}
MEAN = {"a": np.array(5.0, np.float32), "z": np.array([[1.0, 2.0]], np.float32)}


@pytest.fixture
def logged(flower_log: list[str]) -> list[str]:
    """What goes to Flower's log; and messages belong to a run."""
    InProcessGrid(ClientApp(), {}, 1)
    return flower_log


def test_the_log_stays_free_of_replies_that_are_none(logged: list[str]) -> None:
    level = FLOWER_LOGGER.level
    aggregate_stock(FedAvg(), [OLD, MEAN])
    assert logged == []
    assert FLOWER_LOGGER.level == level
    FedAvg().aggregate_train(1, [as_reply(MEAN)])
    assert logged  # Flower does count them elsewhere


def test_several_replies_keep_their_precision_on_the_way_in(logged: list[str]) -> None:
    tiny = {"w": np.array([1.0, 1.0 + 1e-12])}
    record = as_reply(tiny).content["arrays"]
    assert isinstance(record, ArrayRecord)
    np.testing.assert_array_equal(record["w"].numpy(), tiny["w"])
    result = aggregate_stock(FedAvg(), [tiny, {"w": np.array([3.0, 3.0])}])["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [2.0, 2.0])
