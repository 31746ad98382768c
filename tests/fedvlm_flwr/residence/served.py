"""A resident process in a thread of a test, and one that is killed in the middle."""

import threading
from contextlib import contextmanager

import numpy as np
from flwr.app import ArrayRecord, Context, Message, RecordDict

from fedvlm_flwr.process import Process
from fedvlm_flwr.residence.flower import SuperNode
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.loop import Residence
from fedvlm_flwr.residence.outbox import Outbox


def echo(message: Message, context: Context) -> Message:
    if message.metadata.message_type == "evaluate":
        raise KeyError("a record of Mrs Roe")
    return Message(message.content, reply_to=message)


@contextmanager
def serving(port, app=echo, secret=None, process=None):
    """A resident process in a thread; yields its lines. Its home is the session's."""
    lines: list[str] = []
    supernode = SuperNode(f"127.0.0.1:{port}", secret)
    files = (Inbox.of(supernode.address), Outbox.of(supernode.address))
    residence = Residence(supernode, app, process or Process(), *files, lines.append)
    faults: list[Exception] = []

    def run() -> None:
        try:
            residence.serve()
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lines
    finally:
        residence.stop()
        thread.join(20)
        assert not thread.is_alive()
    if faults:
        raise faults[0]


def content(number: float) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord([np.full(3, number)])})


class Killed(BaseException):
    """What takes a process out of the middle of a task."""


class Killing:
    """A connection whose process is killed when so many requests have been answered.

    Args:
        kind: of requests, which alone count; "": all do.
    """

    def __init__(self, client, requests: int, kind: str = "") -> None:
        self._client, self._left, self._kind = client, requests, kind

    def __getattr__(self, name: str):
        def ask(request):
            answer = getattr(self._client, name)(request)
            self._left -= self._kind in ("", name)
            if not self._left:
                raise Killed
            return answer

        return ask


class Alone:
    """The surroundings of a task that is the first and the last of its process."""

    def has_gone_on(self, announced: str) -> bool:
        return False

    def is_stopping(self) -> bool:
        return False
