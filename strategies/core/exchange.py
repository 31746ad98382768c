"""Messages out, replies back as they come."""

import time
from collections.abc import Iterator, Mapping

from flwr.app import Message
from flwr.serverapp import Grid

from fedvlm_flwr.errors import RunError

POLL_SECONDS = 0.05


class Exchange:
    """Sends one message to each of several clients and hands out their replies one at a time.

    Attributes:
        waiting: seconds spent on sending and on waiting for replies, so far.
    """

    def __init__(self, grid: Grid, timeout: float) -> None:
        self._grid = grid
        self._timeout = timeout
        self.waiting = 0.0

    def run(self, messages: Mapping[int, Message]) -> Iterator[tuple[int, Message | None]]:
        """Push the messages and yield (client, reply) as each arrives.

        Whoever has not answered in time comes last, with None.

        Raises:
            RunError: the grid does not take every message.
        """
        mark = time.monotonic()
        deadline = mark + self._timeout
        pushed = list(self._grid.push_messages(messages.values()))
        if len(pushed) != len(messages):
            raise RunError(
                f"Only {len(pushed)} of {len(messages)} messages could be sent; see the SuperLink."
            )
        waiting = dict(zip(pushed, messages, strict=True))
        while waiting and time.monotonic() < deadline:
            arrived = list(self._grid.pull_messages(waiting))
            for reply in arrived:
                client = waiting.pop(reply.metadata.reply_to_message_id)
                self.waiting += time.monotonic() - mark
                yield client, reply
                mark = time.monotonic()
            if waiting and not arrived:
                time.sleep(POLL_SECONDS)
        self.waiting += time.monotonic() - mark
        for client in waiting.values():
            yield client, None

    def late(self) -> str:
        """What is said of a client that has not answered."""
        return f"no reply within {self._timeout:g} s"
