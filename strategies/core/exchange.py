"""Messages out, replies back as they come."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedvlm_flwr.errors import RunError
from strategies.core.roster import LOST, MOST_LOSSES, Roster

# A pause grows with the time that nothing has come, so that it delays a round by that part at most.
SHORTEST_PAUSE, LONGEST_PAUSE, PART = 0.05, 2.0, 0.05
# A poll costs a SuperLink a request, some 10 ms of CPU; a SuperNode looks for messages every 3 s
# and for its reply every 0.5 s, so that nothing is gained by asking more often.
SITES_SHORTEST_PAUSE, SITES_PART = 0.5, 0.1
LOOK_SECONDS = 5.0  # between two looks at which sites are there
NOTICE_SECONDS = 120.0  # of silence, after which those waited for are named; then after twice that
GRACE_SECONDS = 600.0  # that a message lives longer than its round


class Exchange:
    """Sends one message to each of several clients and hands out their replies one at a time.

    Where real sites are concerned (`roster`), one that is not there, or is lost while it works, is
    sent its message when it is there again, perhaps as another node, until the round's time is up.

    Args:
        timeout: seconds for the replies: of each call of `run`; of all together with a roster.
        where: the node of a client; None: it is not there.

    Attributes:
        waiting: seconds spent on sending and on waiting for replies, so far.
    """

    def __init__(
        self,
        grid: Grid,
        timeout: float,
        where: Callable[[int], int | None],
        roster: Roster | None = None,
    ) -> None:
        self._grid = grid
        self._timeout = timeout
        self._where = where
        self._roster = roster
        self._deadline = time.monotonic() + timeout
        self._notice = NOTICE_SECONDS
        self.waiting = 0.0

    def run(
        self, contents: Mapping[int, RecordDict], kind: str, group: str
    ) -> Iterator[tuple[int, Message | None]]:
        """Send the contents and yield (client, reply) as each arrives.

        Whoever has not answered in time comes last, with None.

        Args:
            kind: Flower's type of the messages.
            group: the round, as text.

        Raises:
            RunError: the grid does not take every message.
        """
        mark = last_reply = time.monotonic()
        deadline = self._deadline if self._roster else mark + self._timeout
        outbox, sent = dict(contents), dict[str, tuple[int, int]]()  # client and node by message
        losses: Counter[tuple[int, int]] = Counter()
        last_look, first = mark, True
        while (outbox or sent) and (first or time.monotonic() < deadline):
            first = False
            if self._roster and time.monotonic() - last_look > LOOK_SECONDS:
                self._roster.look(self._grid)
                last_look = time.monotonic()
                outbox |= {c: contents[c] for c, _ in sent.values() if self._has_moved(c, sent)}
            for key, client, node in self._push(outbox, kind, group):
                sent[key] = client, node
                outbox.pop(client, None)
            began = time.monotonic()
            arrived = list(self._grid.pull_messages(sent.keys())) if sent else []
            pulling = time.monotonic() - began  # some grids wait for a reply by themselves
            for reply in arrived:
                place = sent.pop(reply.metadata.reply_to_message_id, None)
                if place is None:  # its client has answered just before, as another node
                    continue
                client = place[0]
                if self._is_lost(reply) and losses[place] < MOST_LOSSES:
                    losses[place] += 1
                    last_look = 0.0  # its node is perhaps not there: look before it is sent again
                    if all(client != other for other, _ in sent.values()):
                        outbox[client] = contents[client]
                    continue
                if self._roster:  # it may have been sent as several nodes
                    sent = {key: other for key, other in sent.items() if other[0] != client}
                outbox.pop(client, None)
                self.waiting += time.monotonic() - mark
                yield client, reply
                mark = last_reply = time.monotonic()
                self._notice = NOTICE_SECONDS
            if arrived or not (outbox or sent) or time.monotonic() >= deadline:
                continue
            idle = time.monotonic() - last_reply
            self._name_the_silent(idle, outbox, sent)
            time.sleep(self._pause(idle, pulling))
        self.waiting += time.monotonic() - mark
        for client in _waited_for(outbox, sent):
            yield client, None

    def _name_the_silent(
        self, idle: float, outbox: Iterable[int], sent: Mapping[str, tuple[int, int]]
    ) -> None:
        """Tell the user of sites that nothing has come from for long."""
        if self._roster is None or idle < self._notice:
            return
        self._notice *= 2
        names = ", ".join(self._roster.names[client] for client in _waited_for(outbox, sent))
        self._roster.tell(
            f"Nothing has come from {names} for {idle:.0f} s; a round waits round_timeout="
            f"{self._timeout:g} s for its sites."
        )

    def _pause(self, idle: float, pulling: float) -> float:
        """Seconds until it is asked again, where nothing has come for `idle` seconds.

        Args:
            pulling: seconds that the grid has taken to say so.
        """
        if self._roster is not None:
            return min(max(SITES_PART * idle, SITES_SHORTEST_PAUSE), LONGEST_PAUSE)
        if pulling >= SHORTEST_PAUSE:
            return 0.0
        return min(max(PART * idle, SHORTEST_PAUSE), LONGEST_PAUSE)

    def _push(
        self, outbox: Mapping[int, RecordDict], kind: str, group: str
    ) -> list[tuple[str, int, int]]:
        """Send what can be sent now: message, client and node of each."""
        places = {client: self._where(client) for client in outbox}
        there = {client: node for client, node in places.items() if node is not None}
        messages = [
            Message(outbox[client], node, kind, ttl=self._timeout + GRACE_SECONDS, group_id=group)
            for client, node in there.items()
        ]
        keys = list(self._grid.push_messages(messages)) if messages else []
        lost = len(messages) - sum(map(bool, keys))
        if lost and self._roster is None:
            raise RunError(
                f"Only {len(messages) - lost} of {len(messages)} messages could be sent; see the "
                "SuperLink."
            )
        return [
            (key, client, node)
            for key, (client, node) in zip(keys, there.items(), strict=False)
            if key
        ]

    def _is_lost(self, reply: Message) -> bool:
        """Whether a message went down with its node, and may be sent again."""
        return self._roster is not None and reply.has_error() and reply.error.code in LOST

    def _has_moved(self, client: int, sent: Mapping[str, tuple[int, int]]) -> bool:
        """Whether a client's site is there as another node than those that have its message."""
        node = self._where(client)
        return node is not None and (client, node) not in sent.values()

    def late(self) -> str:
        """What is said of a client that has not answered."""
        return f"no reply within {self._timeout:g} s"


def _waited_for(outbox: Iterable[int], sent: Mapping[str, tuple[int, int]]) -> list[int]:
    """The clients that have not answered, sorted: those to be sent to, and those that were."""
    return sorted({*outbox, *(client for client, _ in sent.values())})
