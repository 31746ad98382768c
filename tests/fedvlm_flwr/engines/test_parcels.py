"""Messages between the processes of one run: what is large travels apart, and comes back equal."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedvlm_flwr.engines.actors.parcels import (
    SMALL,
    Store,
    is_small,
    packed,
    packed_reply,
    unpacked,
)
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.messages.wire import pack, unpack

FLOATS = {"few": 100, "many": SMALL // 4}  # of many, the header comes on top


@pytest.fixture(autouse=True, scope="module")
def run() -> InProcessGrid:
    """Messages are of a run, which a grid begins."""
    return InProcessGrid(ClientApp(), {}, 1)


def message(numbers: int) -> Message:
    arrays = {"llm.q.lora_A": np.arange(numbers, dtype=np.float32)}
    return Message(RecordDict({"arrays": pack(arrays)}), 1, MessageType.TRAIN)


def numbers_of(content: RecordDict) -> np.ndarray:
    record = content["arrays"]
    assert isinstance(record, ArrayRecord)
    return unpack(record)["llm.q.lora_A"]


@pytest.mark.parametrize("size", FLOATS)
def test_a_reply_comes_back_and_only_what_is_large_lies_apart(size: str) -> None:
    data, parts = parcel = packed_reply(message(FLOATS[size]))
    assert is_small(parcel) == (not parts) == (size == "few")
    assert len(data) <= SMALL
    found = numbers_of(unpacked(data, parts).content)
    np.testing.assert_array_equal(found, np.arange(FLOATS[size], dtype=np.float32))


def test_a_small_message_needs_nothing_of_rays_memory() -> None:
    context = Context(1, 2, {"partition-id": 3}, RecordDict(), {"seed": 4})
    data, places = packed((message(FLOATS["few"]), context), Store())
    assert places == []
    sent, state = unpacked(data, [])
    assert len(numbers_of(sent.content)) == FLOATS["few"]
    assert state.node_config == {"partition-id": 3} and state.run_config == {"seed": 4}
