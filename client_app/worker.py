"""The worker: serves the messages of any client with the one model of its process."""

import os
import platform
import time
from collections.abc import Mapping
from typing import cast

import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from client_app.local import train_locally
from fedvlm_flwr.config import Scalar, compose
from fedvlm_flwr.data.clients import client_examples
from fedvlm_flwr.models.parts import read, set_trainable, write
from fedvlm_flwr.models.resident import choose_device, process_facts, resident
from fedvlm_flwr.schedule import round_lr
from fedvlm_flwr.seeding import stream, torch_seed
from fedvlm_flwr.wire import pack, unpack
from strategies import load_hook


class Worker:
    """Trains on a message's arrays and returns the result; holds no state of any client."""

    def train(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """One client's round.

        Args:
            content: `arrays` (the shared tensors) and `config` (round, stage, client).
            run_config: Flower's run-config, the same on the server.
            node_config: the site's own facts (`device`).

        Raises:
            FedVLMError: the configuration, the data or the model cannot be used; one sentence.
        """
        began = time.monotonic()
        order = cast(ConfigRecord, content["config"])
        client, stage, number = (int(cast(int, order[key])) for key in ("client", "stage", "round"))
        config = compose(run_config)
        torch.set_num_threads(config.engine.threads)
        device = choose_device(str(node_config.get("device", config.engine.device)))
        model = resident(config, device)
        examples = client_examples(config, client)
        shared = unpack(cast(ArrayRecord, content["arrays"]))
        parameters = set_trainable(model.vlm, config.tuning.stages[stage])
        write(parameters, shared)
        hook = load_hook(config.algorithm)
        hook.on_start(parameters, shared)
        place = (stage, number, client)
        torch.manual_seed(torch_seed(config.seed, "dropout", *place))
        result = train_locally(
            model,
            parameters,
            examples,
            config.train,
            round_lr(config, stage, number),
            stream(config.seed, "batches", *place),
            hook,
        )
        extra = hook.on_end(parameters, result.steps)
        reply = RecordDict(
            {
                "arrays": pack(read(parameters), config.wire.dtype),
                "metrics": MetricRecord(
                    {
                        "num_examples": len(examples),
                        "loss": result.loss,
                        "steps": result.steps,
                        "examples_seen": result.examples_seen,
                        "seconds": time.monotonic() - began,
                        "pictures_encoded": model.features.encoded,
                        **process_facts(),
                    }
                ),
                "source": ConfigRecord({"host": platform.node(), "pid": str(os.getpid())}),
            }
        )
        if extra:
            reply["extra"] = pack(extra, config.wire.dtype)
        return reply


_worker = Worker()


def worker() -> Worker:
    """The worker of this process."""
    return _worker
