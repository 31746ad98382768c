"""Messages for clients, worked by a fixed number of actors, and their replies."""

import threading
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode

from fedvlm_flwr.engines.actors.parcels import Parcel, Store, packed, unpacked
from fedvlm_flwr.engines.base import Task

WAIT_SECONDS = 0.2  # for a reply, before whoever waits for one looks at the time
LOOK_SECONDS = 1.0  # for an actor's answer, before its hand looks whether all is to end


@dataclass(eq=False)
class Job:
    """A message to a node, and what becomes of it.

    Attributes:
        reply: its reply once it is worked, a small one.
        place: Ray's reference to a large one.
        error: what there is instead of a reply.
    """

    message: Message
    context: Context
    store: Store
    reply: Parcel | None = None
    place: Any = None
    error: Error | None = None

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
        actor: another one once its process has ended.
        nodes: those that it has worked for.
    """

    actor: Any
    thread: threading.Thread = field(init=False)
    is_idle: bool = True
    nodes: set[int] = field(default_factory=set)


class Pool:
    """Hands messages to actors, each as soon as it is free, and gives out their replies.

    An actor is given messages to the nodes that it has worked for first, whose clients' shares and
    pictures it holds, then those to nodes that nobody has worked for, and rather than be idle it
    takes any. What a message comes to does not depend on who works it.

    Args:
        make: a new actor.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._done: dict[str, Job] = {}
        self._hands: list[Hand] = []
        self._is_closed = False

    def employ(self, number: int) -> None:
        """Have so many actors work what waits and what will come."""
        for _ in range(number):
            hand = Hand(self._make())
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

    def put(self, tasks: Iterable[Task]) -> None:
        """Have messages worked; replies that nobody may ask for any more are forgotten."""
        with self._changed:
            self._done = {key: job for key, job in self._done.items() if not job.is_late}
            store = Store()
            self._waiting += [Job(*task, store) for task in tasks]
            self._changed.notify_all()

    def take(self, pending: Set[str], stop: Callable[[], bool]) -> Message | None:
        """The reply to one of these messages; None: there is none within a moment, or at a stop.

        Large replies stay with Ray until they are taken, so that the server has one at a time.
        """
        with self._changed:
            self._changed.wait_for(lambda: stop() or self._ready(pending), WAIT_SECONDS)
            key = self._ready(pending)
            job = self._done.pop(key) if key else None
        return None if job is None else reply_of(job)

    def _ready(self, pending: Set[str]) -> str | None:
        return next((key for key in self._done if key in pending), None)

    def _work(self, hand: Hand) -> None:
        while (job := self._next(hand)) is not None:
            self._carry_out(job, hand)
            with self._changed:
                self._done[job.message.metadata.message_id] = job
                self._changed.notify_all()

    def _carry_out(self, job: Job, hand: Hand) -> None:
        """Have an actor work a message, and another take its place if it does not live through."""
        from ray.exceptions import RayError, RayTaskError

        try:
            data, parts = packed((job.message, job.context), job.store)
            answer, job.place = hand.actor.work.options(num_returns=2).remote(data, *parts)
            job.context.state, job.reply = self._wait(answer)  # a large reply stays where it is
        except RayTaskError as error:
            job.error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, raised(error))
        except RayError as error:
            job.error = crash(error)
            if not self._is_closed:
                hand.actor = self._make()
        except Exception as error:  # else nobody would ever answer
            job.error = Error(ErrorCode.UNKNOWN, f"{type(error).__name__}: {error}")

    def _wait(self, answer: Any) -> Any:
        """What an actor answers.

        Raises:
            GetTimeoutError: there is none, and all is to end: an actor of a Ray that has gone
                neither starts nor dies.
        """
        import ray
        from ray.exceptions import GetTimeoutError

        while True:
            try:
                return ray.get(answer, timeout=LOOK_SECONDS)
            except GetTimeoutError:
                if self._is_closed:
                    raise

    def _next(self, hand: Hand) -> Job | None:
        """The message that this actor is to work, once there is one; None: there will be none."""
        with self._changed:
            hand.is_idle = True
            while not self._is_closed:
                job = self._choose(hand)
                if job is not None:
                    hand.is_idle = False
                    hand.nodes.add(job.node)
                    self._waiting.remove(job)
                    return job
                self._changed.wait()
            return None

    def _choose(self, hand: Hand) -> Job | None:
        """A message for an idle actor; None: there is none that another idle one is not for."""
        served = set[int]().union(*(each.nodes for each in self._hands))
        at_hand = set[int]().union(*(each.nodes for each in self._hands if each.is_idle))
        own = (job for job in self._waiting if job.node in hand.nodes)
        new = (job for job in self._waiting if job.node not in served)
        others = (job for job in self._waiting if job.node not in at_hand)
        return next(own, None) or next(new, None) or next(others, None)


def reply_of(job: Job) -> Message:
    """What came of a message: the reply of its client, or an error where there is none."""
    import ray
    from ray.exceptions import RayError

    if job.error is None:
        try:
            reply: Message = unpacked(*(job.reply or ray.get(job.place)))
        except RayError as error:  # its machine has gone meanwhile
            job.error = crash(error)
        else:
            return reply
    return Message(job.error, reply_to=job.message)


def raised(error: Any) -> str:
    """What a ClientApp has raised, by Ray's error."""
    return f"{type(error.cause).__name__}: {error.cause}"


def crash(error: Exception) -> Error:
    """What is said of a message whose process has ended: Ray's first line, ids follow."""
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return Error(ErrorCode.CLIENT_APP_CRASHED, first)
