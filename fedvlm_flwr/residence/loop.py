"""The loop of a resident process: take a task, work it in this process, give the reply back."""

import signal
import time
from collections.abc import Callable
from logging import ERROR, WARNING
from threading import Event
from types import FrameType

from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode
from flwr.common.logger import log

from fedvlm_flwr.errors import StateError
from fedvlm_flwr.messages import decision
from fedvlm_flwr.messages.wire import payload_bytes
from fedvlm_flwr.process import Process
from fedvlm_flwr.residence.arrival import Interrupted, RunOver, TaskLost
from fedvlm_flwr.residence.flower import SuperNode, SuperNodeAway
from fedvlm_flwr.residence.heartbeat import beating
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.outbox import Outbox
from fedvlm_flwr.residence.task import Task

App = Callable[[Message, Context], Message]

# While nothing comes it is asked again after a fifth of the time that nothing has come for.
PART, SOONEST, LATEST = 0.2, 0.3, 2.0
AWAY_SECONDS = 1.0


class Stopped(BaseException):
    """The process is to end; raised where it is at work."""


class Residence:
    """Works the tasks of one SuperNode, one at a time.

    A message that fails is that message's failure: the next one is taken. A SuperNode that is not
    there yet, or is started anew, is waited for.

    Args:
        app: the installed ClientApp.
        process: what this process keeps between messages.
        inbox: where a message's head is kept until it is whole.
        outbox: where a reply is kept until it is handed over.
        say: prints a line.
    """

    def __init__(
        self,
        supernode: SuperNode,
        app: App,
        process: Process,
        inbox: Inbox,
        outbox: Outbox,
        say: Callable[[str], None],
    ) -> None:
        self._supernode = supernode
        self._app = app
        self._process = process
        self._inbox, self._outbox = inbox, outbox
        self._say = say
        self._stop = Event()
        self._at_work = False
        self._loads: dict[int, int] = {}  # of base models, by run
        self._taking_turns = False
        self._next: Task | None = None  # taken while another one's message was waited for
        self._latest = ""  # when the latest task was announced of those that were taken

    def stop_at_signals(self) -> None:
        """End `serve` at SIGTERM and SIGINT; the message at work is answered as a failure."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        if self._at_work:
            self._at_work = False  # a second signal does not interrupt the answer
            raise Stopped

    def stop(self) -> None:
        """End `serve` after the message at work."""
        self._stop.set()

    def serve(self) -> None:
        """Take tasks until the process is to stop.

        Raises:
            RunError: the SuperNode refuses this process; says why.
        """
        away, last = False, time.monotonic()
        self._finish()
        self._say(f"waiting for messages from the SuperNode at {self._supernode.address}")
        while not self._stop.is_set():
            try:
                task, self._next = self._next or self._supernode.acquire(), None
            except SuperNodeAway:
                if not away:
                    self._say(f"no SuperNode answers at {self._supernode.address}; waiting for it")
                away = True
                self._stop.wait(AWAY_SECONDS)
                continue
            if away:
                self._say(f"the SuperNode at {self._supernode.address} answers")
                away = False
            if task is None:
                idle = time.monotonic() - last
                self._stop.wait(min(max(PART * idle, SOONEST), LATEST))
                continue
            try:
                self._serve(task)
            finally:
                task.close()
            last = time.monotonic()
        self._say("stopped")

    def _serve(self, task: Task) -> None:
        began = time.monotonic()
        self._latest = max(self._latest, task.announced)
        try:
            with beating(task.beat):
                task.pull(self._inbox, self)
                reply = self._work(task.message, task.context)
                line = account(task.message, reply)
                self._hand_over(task, reply)
        except Interrupted as end:
            self._say(str(end))
        except TaskLost as lost:
            if not isinstance(lost, RunOver):
                self._latest = ""  # the SuperNode was perhaps started anew, its clock set back
            log(WARNING, "A message cannot be answered: %s", lost)
            self._say("a message is lost: the SuperNode no longer waits for its reply")
        except Exception as fault:  # whatever a stranger's bytes set off
            log(ERROR, "A message cannot be read or answered", exc_info=fault)
            self._say(f"a message is lost: {type(fault).__name__}; see the log")
        else:
            self._say(f"{line}, {time.monotonic() - began:.2f} s")

    def _hand_over(self, task: Task, reply: Message) -> None:
        """Give a reply back, so that the next process can where this one is killed meanwhile."""
        parcel = task.parcel(reply)
        try:
            self._outbox.keep(parcel)
        except OSError as error:
            log(WARNING, "A reply is not kept while it is handed over: %s", error)
        try:
            task.push(parcel)
        finally:
            self._outbox.clear()

    def _finish(self) -> None:
        """Hand over what a process before this one was killed in handing over."""
        try:
            parcel = self._outbox.left()
        except StateError as error:
            log(WARNING, "A reply that was begun is not handed over: %s", error)
            self._outbox.clear()
            return
        if parcel is None:
            return
        task = Task(self._supernode.address, parcel.token)
        try:
            if not task.is_awaited(
                parcel
            ):  # it is sent; or was not announced, and is asked for again
                return
            task.push(parcel)
        except TaskLost as lost:
            log(WARNING, "A reply that was begun cannot be handed over: %s", lost)
            self._say(
                "a reply may be lost that was begun by a process before this one; if no more "
                "messages come, start the SuperNode anew"
            )
        else:
            self._say("a reply is handed over that was begun by a process before this one")
        finally:
            task.close()
            self._outbox.clear()

    def has_gone_on(self, announced: str) -> bool:
        """Whether the SuperNode has announced a further task after that time, which is taken then.

        An earlier one is one that it had gone on from, when a process before this one had it.
        """
        while self._latest <= announced:
            try:
                task = self._supernode.acquire()
            except SuperNodeAway:
                return False  # the loop waits for it
            if task is None:
                return False
            if task.announced > announced:
                self._next, self._latest = task, task.announced
            else:
                task.forget()
                task.close()
        return True

    def is_stopping(self) -> bool:
        """Whether `serve` is to end."""
        return self._stop.is_set()

    def _work(self, message: Message, context: Context) -> Message:
        """The app's reply; an error of fixed words where it has none or is stopped."""
        try:
            return self._attempt(message, context)
        except Stopped:
            error = Error(ErrorCode.CLIENT_APP_CRASHED, "the site's process was stopped")
        except Exception as fault:
            log(ERROR, "A message cannot be worked", exc_info=fault)
            words = f"{type(fault).__name__}; see the site's log"
            error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, words)
        return Message(error, reply_to=message)

    def _attempt(self, message: Message, context: Context) -> Message:
        run, loads = message.metadata.run_id, self._process.model_loads
        try:
            self._at_work = True
            if self._stop.is_set():
                raise Stopped
            return self._app(message, context)
        finally:
            self._at_work = False
            self._loads[run] = self._loads.get(run, 0) + self._process.model_loads - loads
            if self._loads[run] > 1 and not self._taking_turns:
                self._taking_turns = True
                self._say(
                    f"run {run} has loaded its base model again, since another run's had taken its "
                    "place: this process holds one; start such runs one after the other"
                )


def account(message: Message, reply: Message) -> str:
    """What came and what went, in a line."""
    facts = message.metadata
    sent = 0 if reply.has_error() else payload_bytes(reply.content)
    words = reply.error.reason if reply.has_error() else decision(reply.content)
    return (
        f"run {facts.run_id}, round {facts.group_id or '-'}, {facts.message_type}: {words}, "
        f"{payload_bytes(message.content):,} bytes in, {sent:,} bytes out"
    )
