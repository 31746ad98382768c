"""The door: Flower's handlers, which import neither torch nor transformers by themselves.

A SuperNode starts a new process for every message, so that whatever is imported here is paid for
each time; the work is handed to a worker, which imports what it needs.
"""

from collections.abc import Callable, Mapping
from logging import ERROR
from typing import TYPE_CHECKING

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.logger import log

from client_app.gate import Gate
from client_app.site import is_simulated
from fedvlm_flwr.errors import FedVLMError, StateError
from fedvlm_flwr.first_import import first_import
from fedvlm_flwr.messages import Failure, SiteReply
from fedvlm_flwr.messages.answers import ACTION

if TYPE_CHECKING:
    from client_app.worker import Worker

Scalars = Mapping[str, bool | int | float | str]
Work = Callable[[RecordDict, Scalars, Scalars], RecordDict]

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Say which client this node is, whether it is a simulated one, and what it trains on."""
    return answer(introduce, message, context)


def introduce(content: RecordDict, run_config: Scalars, node_config: Scalars) -> RecordDict:
    """Who this node is.

    Raises:
        FedVLMError: the node-config, the configuration or the data cannot be used; one sentence.
    """
    if not is_simulated(node_config):
        return worker().introduce(content, run_config, node_config)
    client, nodes = int(node_config["partition-id"]), int(node_config["num-partitions"])
    examples = count_examples(run_config, client, nodes)
    return SiteReply(partition=client, simulated=True, examples=examples).pack()


def count_examples(run_config: Scalars, client: int, nodes: int) -> tuple[int, ...]:
    """Training examples of the clients that a simulated node serves, where a weight goes by them.

    Args:
        client: the node's own number.
        nodes: of how many it is one; they serve the clients in turn.
    """
    from fedvlm_flwr.process import this_process

    process = this_process()
    config = process.compose(run_config)
    if config.max_weight_share is None and config.weighting == "uniform":
        return ()
    return tuple(len(share) for share in process.shares(config)[client::nodes])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the shared tensors on a client's own data."""
    return answer(lambda *records: worker().train(*records), message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the model that the client has, private tensors included."""
    return answer(lambda *records: worker().evaluate(*records), message, context)


@app.evaluate(ACTION)
def answers(message: Message, context: Context) -> Message:
    """Answer a part of the server's test questions, as a simulated client."""
    return answer(lambda *records: worker().answers(*records), message, context)


def worker() -> "Worker":
    """Who does the work, with what this process holds."""
    from fedvlm_flwr.process import this_process

    with first_import():
        from client_app.worker import Worker  # torch comes in here

    return Worker(this_process())


def answer(work: Work, message: Message, context: Context) -> Message:
    """The reply to a message that a site's policy admits; the site's log tells of both.

    A failure becomes a reply that carries its code, the same on every engine. What it says in words
    goes to the log of the process, and to the server in a simulation only: it may hold a record's
    text or a path.
    """
    run_config, node_config = context.run_config, context.node_config
    gate, words = Gate(None), ""
    try:
        gate = Gate.of(node_config)
        gate.admit(message, run_config)
        content = gate.release(work(message.content, run_config, node_config))
    except Exception as error:
        words = reason(error)
        content = failed(error, message, words if is_simulated(node_config) else "", gate.site)
    try:
        gate.log(message, content, words)
    except StateError as error:
        content = failed(error, message, "", gate.site)
    return Message(content, reply_to=message)


def failed(error: Exception, message: Message, words: str, site: str) -> RecordDict:
    """The reply of a client that failed, which the log of its process tells of.

    Args:
        words: what happened, as far as the server may know it.
        site: the name of a real site.
    """
    log(ERROR, "A client failed in round %s", message.metadata.group_id, exc_info=error)
    return Failure.of(error, words, site).pack()


def reason(error: Exception) -> str:
    """The error as one line; its type is named unless it is an error for the user."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FedVLMError) else f"{type(error).__name__}: {text}"
