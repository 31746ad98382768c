"""The door: Flower's handlers, which import neither torch nor transformers by themselves.

A SuperNode starts a new process for every message, so that whatever is imported here is paid for
each time; the work is handed to a worker, which imports what it needs.
"""

from collections.abc import Callable, Mapping
from logging import ERROR
from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.logger import log

from client_app.node import is_simulated

if TYPE_CHECKING:
    from client_app.worker import Worker

Scalars = Mapping[str, bool | int | float | str]

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Say which client this node is, and whether it is a simulated one."""
    site = ConfigRecord(
        {
            "partition-id": context.node_config.get("partition-id", -1),
            "simulated": is_simulated(context.node_config),
        }
    )
    return Message(RecordDict({"site": site}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the shared tensors on a client's own data."""
    return answer(worker().train, message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the model that the client has, private tensors included."""
    return answer(worker().evaluate, message, context)


def worker() -> "Worker":
    """Who does the work, with what this process holds."""
    from client_app.worker import Worker  # torch comes in here
    from fedvlm_flwr.process import this_process

    return Worker(this_process())


def answer(
    work: Callable[[RecordDict, Scalars, Scalars], RecordDict], message: Message, context: Context
) -> Message:
    """The reply to a message.

    A failure becomes a reply that carries its reason in one sentence, the same on every engine; the
    traceback goes to the log of the process.
    """
    try:
        content = work(message.content, context.run_config, context.node_config)
    except Exception as error:
        log(ERROR, "A client failed in round %s", message.metadata.group_id, exc_info=error)
        content = RecordDict({"failure": ConfigRecord({"reason": reason(error)})})
    return Message(content, reply_to=message)


def reason(error: Exception) -> str:
    """The error as one line; its type is named unless it is an error for the user."""
    from fedvlm_flwr.errors import FedVLMError

    text = " ".join(str(error).split())
    return text if isinstance(error, FedVLMError) else f"{type(error).__name__}: {text}"
