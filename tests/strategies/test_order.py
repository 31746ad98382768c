"""Orders as records."""

import pytest
from flwr.app import ConfigRecord
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.errors import RunError
from strategies.core.order import Order

orders = st.builds(
    Order,
    client=st.integers(0, 2**31),
    stage=st.integers(0, 3),
    round=st.integers(0, 10_000),
    data=st.lists(st.integers(0, 999), min_size=1, max_size=5).map(tuple),
    kept_round=st.integers(0, 10_000),
    run=st.text("0123456789abcdef"),
    full=st.booleans(),
)


@given(orders)
def test_round_trip(order: Order) -> None:
    record = order.record({"lr": 0.5, "client": -1})
    assert Order.read(record) == order
    assert record["lr"] == 0.5
    assert record.count_bytes() > 0  # Flower raises where it finds an empty string


@pytest.mark.parametrize("name", ["client", "stage", "round", "data", "kept_round", "full"])
def test_a_value_that_is_missing_is_named(name: str) -> None:
    record = Order(0, 0, 1, (0,), 0, "a").record()
    del record[name]
    with pytest.raises(RunError, match=rf"lacks config\.{name}; install the same version"):
        Order.read(record)


def test_keys_of_a_newer_version_are_no_matter() -> None:
    order = Order(3, 1, 2, (3,))
    assert Order.read(ConfigRecord({**order.record(), "future": 1})) == order
