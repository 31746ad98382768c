"""A ClientApp that does as it is told, for actors to import."""

import os
import signal
import time

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

BUSY_SECONDS = 0.3
app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Count the node's messages in its state; say who worked this one, raise, or die."""
    match message.content["config"]["do"]:
        case "raise":
            raise ValueError("the disk is on fire")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(BUSY_SECONDS)
    state = context.state.setdefault("messages", ConfigRecord({"count": 0}))
    state["count"] += 1
    told = {"process": os.getpid(), "count": state["count"], **context.node_config}
    return Message(RecordDict({"config": ConfigRecord(told)}), reply_to=message)
