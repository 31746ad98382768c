"""How long is waited between two looks for replies."""

from collections.abc import Iterable
from threading import Event

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedvlm_flwr.engines.inprocess import InProcessGrid
from strategies.core.exchange import SHORTEST_PAUSE, Exchange

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    return Message(RecordDict(), reply_to=message)


class SlowGrid(InProcessGrid):
    """Says twice that there is no reply yet, each time after a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__(app, {}, 1)
        self.seconds, self.refusals = seconds, 2

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        if self.refusals:
            self.refusals -= 1
            Event().wait(self.seconds)
            return []
        return super().pull_messages(message_ids)


@pytest.mark.parametrize(
    ("seconds", "pauses"), [(0.0, [SHORTEST_PAUSE] * 2), (SHORTEST_PAUSE, [0.0] * 2)]
)
def test_a_grid_that_waits_for_a_reply_itself_is_asked_again_at_once(monkeypatch, seconds, pauses):
    grid, slept = SlowGrid(seconds), list[float]()
    exchange = Exchange(grid, 60.0, dict(enumerate(grid.get_node_ids())).get)
    monkeypatch.setattr("strategies.core.exchange.time.sleep", slept.append)
    assert [client for client, _ in exchange.run({0: RecordDict()}, "train", "1")] == [0]
    assert slept == pauses
