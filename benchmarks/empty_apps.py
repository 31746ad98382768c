"""Clients that read what they are sent and send it back, of ours and of stock Flower.

They are in a module of their own so that Ray's actors import them instead of unpickling them.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import SiteReply, TrainMetrics, TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import unpack

TENSORS = 16  # that the numbers are spread over, as those of adapters are

ours = ClientApp()
stock = ClientApp()


def weights(numbers: int) -> Arrays:
    """The tensors that travel."""
    sizes = [len(part) for part in np.array_split(np.empty(numbers, np.bool_), TENSORS)]
    return {f"llm.{i}": np.full(size, 0.5, np.float32) for i, size in enumerate(sizes)}


@ours.query()
def query(message: Message, context: Context) -> Message:
    """Which client a simulated node is."""
    client = int(context.node_config["partition-id"])
    reply = SiteReply(partition=client, simulated=True, examples=(1 + client % 3,))
    return Message(reply.pack(), reply_to=message)


@ours.train()
def train(message: Message, context: Context) -> Message:
    """The arrays read and packed again."""
    request = TrainRequest.unpack(message.content)
    metrics = TrainMetrics(num_examples=1 + request.client % 3, loss=0.0, steps=1)
    return Message(TrainReply(unpack(request.arrays), metrics).pack(), reply_to=message)


@stock.train()
def train_stock(message: Message, context: Context) -> Message:
    """The same as Flower's own quickstarts do it."""
    record: ArrayRecord = message.content["arrays"]  # type: ignore[assignment]
    arrays = {name: array.numpy() for name, array in record.items()}
    client = int(context.node_config["partition-id"])
    content = RecordDict(
        {
            "arrays": ArrayRecord({k: Array.from_numpy_ndarray(v) for k, v in arrays.items()}),
            "metrics": MetricRecord({"num-examples": 1 + client % 3}),
        }
    )
    return Message(content, reply_to=message)
