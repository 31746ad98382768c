"""Messages for clients, worked by a fixed number of actors, and their replies."""

import threading
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode

WAIT_SECONDS = 0.2  # for a reply, before whoever waits for one looks at the time


@dataclass(eq=False)
class Job:
    """A message to a node, and what becomes of it.

    Attributes:
        result: Ray's reference to what comes of it, once it is worked.
    """

    message: Message
    context: Context
    result: Any = None

    @property
    def node(self) -> int:
        """The node that is to work it."""
        return self.message.metadata.dst_node_id

    @property
    def is_late(self) -> bool:
        """Whether nobody may ask for its reply any more."""
        metadata = self.message.metadata
        return time.time() > metadata.created_at + metadata.ttl


@dataclass(eq=False)
class Hand:
    """Gives an actor one message at a time.

    Attributes:
        nodes: those that the actor has worked for.
    """

    actor: Any
    thread: threading.Thread = field(init=False)
    nodes: set[int] = field(default_factory=set)


class Pool:
    """Hands messages to actors, each as soon as it is free, and gives out their replies.

    An actor is given messages to the nodes that it has worked for first, whose clients' shares and
    pictures it holds, and then those to nodes that no other has worked for; before it is idle it
    takes any. What a message comes to does not depend on who works it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._done: dict[str, Job] = {}
        self._hands: list[Hand] = []
        self._is_closed = False

    def employ(self, actors: Iterable[Any]) -> None:
        """Have actors work what waits and what will come."""
        for actor in actors:
            hand = Hand(actor)
            hand.thread = threading.Thread(target=self._work, args=(hand,), daemon=True)
            with self._changed:
                self._hands.append(hand)
            hand.thread.start()

    def close(self) -> None:
        """End what is worked and begin nothing more."""
        import ray

        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for hand in self._hands:
            ray.kill(hand.actor)
        for hand in self._hands:  # who waits for a message while Ray goes down, goes down with it
            hand.thread.join()

    def wake(self) -> None:
        """Have whoever waits for a reply look again."""
        with self._changed:
            self._changed.notify_all()

    def put(self, message: Message, context: Context) -> None:
        """Have a message worked; replies that nobody may ask for any more are forgotten."""
        with self._changed:
            self._done = {key: job for key, job in self._done.items() if not job.is_late}
            self._waiting.append(Job(message, context))
            self._changed.notify_all()

    def take(self, pending: Set[str], stop: Callable[[], bool]) -> Message | None:
        """The reply to one of these messages; None: there is none within a moment, or at a stop.

        Replies stay with Ray until they are taken, so that the server has one at a time.
        """
        with self._changed:
            self._changed.wait_for(lambda: stop() or self._ready(pending), WAIT_SECONDS)
            key = self._ready(pending)
            job = self._done.pop(key) if key else None
        return None if job is None else reply_of(job)

    def _ready(self, pending: Set[str]) -> str | None:
        return next((key for key in self._done if key in pending), None)

    def _work(self, hand: Hand) -> None:
        import ray

        while (job := self._next(hand)) is not None:
            job.result = hand.actor.work.remote(job.message, job.context)
            ray.wait([job.result], fetch_local=False)
            with self._changed:
                self._done[job.message.metadata.message_id] = job
                self._changed.notify_all()

    def _next(self, hand: Hand) -> Job | None:
        """The message that this actor is to work, once there is one; None: there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or bool(self._waiting))
            if self._is_closed:
                return None
            job = self._choose(hand)
            self._waiting.remove(job)
            hand.nodes.add(job.node)
            return job

    def _choose(self, hand: Hand) -> Job:
        taken = set[int]().union(*(each.nodes for each in self._hands))
        own = (job for job in self._waiting if job.node in hand.nodes)
        free = (job for job in self._waiting if job.node not in taken)
        return next(own, None) or next(free, self._waiting[0])


def reply_of(job: Job) -> Message:
    """What came of a message: the reply of its client, or an error where there is none."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    reply: Message
    try:
        reply, job.context.state = ray.get(job.result)
    except RayTaskError as error:
        reason = f"{type(error.cause).__name__}: {error.cause}"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=job.message)
    except RayError as error:
        words = " ".join(str(error).split())
        return Message(Error(ErrorCode.CLIENT_APP_CRASHED, words), reply_to=job.message)
    return reply
