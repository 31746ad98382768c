"""The door: Flower's handlers, which import neither torch nor transformers by themselves.

A SuperNode starts a new process for every message, so that whatever is imported here is paid for
each time; the work is handed to a worker, which imports what it needs.
"""

from logging import ERROR

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.logger import log

app = ClientApp()

# The node-config keys that Flower gives to a simulated node; a real site sets others.
SIMULATED_KEYS = {"partition-id", "num-partitions"}


@app.query()
def query(message: Message, context: Context) -> Message:
    """Say which client this node is, and whether it is a simulated one."""
    site = ConfigRecord(
        {
            "partition-id": context.node_config.get("partition-id", -1),
            "simulated": set(context.node_config) == SIMULATED_KEYS,
        }
    )
    return Message(RecordDict({"site": site}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the shared tensors on a client's own data.

    A failure becomes a reply that carries its reason in one sentence, the same on every engine; the
    traceback goes to the log of the process.
    """
    from client_app.worker import worker  # torch comes in here

    try:
        content = worker().train(message.content, context.run_config, context.node_config)
    except Exception as error:
        log(ERROR, "A client failed in round %s", message.metadata.group_id, exc_info=error)
        content = RecordDict({"failure": ConfigRecord({"reason": reason(error)})})
    return Message(content, reply_to=message)


def reason(error: Exception) -> str:
    """The error as one line; its type is named unless it is an error for the user."""
    from fedvlm_flwr.errors import FedVLMError

    text = " ".join(str(error).split())
    return text if isinstance(error, FedVLMError) else f"{type(error).__name__}: {text}"
