"""The worker: serves the messages of any client with the one model of its process."""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from torch import nn

from client_app.local import steps_of, train_locally
from client_app.oom import explains_out_of_memory
from client_app.private import PrivateState
from client_app.site import check_order, state_folder
from fedvlm_flwr.config import Config, Scalar
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.models.parts import read
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.process import Process
from fedvlm_flwr.schedule import round_lr
from fedvlm_flwr.seeding import stream, torch_seed
from fedvlm_flwr.wire import Arrays, pack, unpack
from strategies import load_hook
from strategies.core.hooks import Opening
from strategies.core.order import Order
from strategies.core.personal import pack_scores


@dataclass(frozen=True)
class Session:
    """A message's order, and the resident model as the client of that order has it.

    Attributes:
        parameters: the trained tensors, holding the shared values of the message and, where a
            tensor is not shared, the client's own.
        opening: what the algorithm's hook starts from.
        private: what stays with the client.
    """

    config: Config
    order: Order
    model: Resident
    parameters: dict[str, nn.Parameter]
    opening: Opening
    private: PrivateState

    @classmethod
    def open(
        cls,
        process: Process,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> "Session":
        """Put the message's client in charge of the model.

        Raises:
            FedVLMError: the configuration, the data or the model cannot be used; one sentence.
        """
        order = Order.read(cast(ConfigRecord, content["config"]))
        check_order(order, node_config)
        config = process.compose(run_config)
        torch.set_num_threads(config.engine.threads)
        device = choose_device(str(node_config.get("device", config.engine.device)))
        model = process.model(config, device)
        private = PrivateState(state_folder(order, node_config), order.client, order.stage)
        tensors, kept = private.load(order.kept_round)
        shared = unpack(cast(ArrayRecord, content["arrays"]))
        sent = unpack(cast(ArrayRecord, content["extra"])) if "extra" in content else {}
        settled = private.settled(
            unpack(cast(ArrayRecord, content["settled"])) if "settled" in content else None
        )
        initial = model.initial[order.stage]
        own = {name: tensors.get(name, initial[name]) for name in initial if name not in shared}
        parameters = model.place(order.stage, shared | own, settled)
        return cls(config, order, model, parameters, Opening(shared, sent, kept), private)


class Worker:
    """Trains on a message's arrays, or scores them.

    Between messages its process holds the frozen model and the features of pictures.
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    @explains_out_of_memory("training")
    def train(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """One client's round.

        Args:
            content: `arrays` (the shared tensors), `config` (an `Order`) and, where the algorithm
                sends something beside them, `extra`.
            run_config: Flower's run-config, the same on the server.
            node_config: the site's own facts (`device`, `state-dir`).

        Raises:
            FedVLMError: see `Session.open`; or the loss is not finite.
        """
        began = time.monotonic()
        session = Session.open(self.process, content, run_config, node_config)
        config, order, parameters = session.config, session.order, session.parameters
        shares = [self.process.examples_of(config, client) for client in order.data]
        hook = load_hook(config.algorithm)
        hook.on_start(parameters, session.opening)
        place = (order.stage, order.round, order.client)
        torch.manual_seed(torch_seed(config.seed, "dropout", *place))
        result = train_locally(
            session.model,
            parameters,
            [example for share in shares for example in share],
            config.train,
            sum(steps_of(config.train, len(share)) for share in shares),
            round_lr(config, order.stage, order.round),
            stream(config.seed, "batches", *place),
            hook,
        )
        closing = hook.on_end(parameters, result.steps)
        after = read(parameters)
        shared = {name: values for name, values in after.items() if name in session.opening.shared}
        own = {name: values for name, values in after.items() if name not in shared}
        kept = session.private.save(order.round, own, closing.kept)
        session.private.forget_before(order.kept_round)
        metrics = {
            "num_examples": sum(len(share) for share in shares),
            "loss": result.loss,
            "steps": result.steps,
            "examples_seen": result.examples_seen,
            "seconds": time.monotonic() - began,
            "kept": int(kept),
            "questions_cut": session.model.vlm.questions_cut,
            "pictures_encoded": session.model.features.encoded,
            **self.process.usage(),
        }
        return self._reply(config, shared, metrics, closing.extra)

    def _reply(
        self, config: Config, shared: Arrays, metrics: Mapping[str, float], extra: Arrays
    ) -> RecordDict:
        reply = RecordDict(
            {
                "arrays": pack(shared, config.wire.dtype),
                "metrics": MetricRecord(dict(metrics)),
                "source": ConfigRecord({"host": platform.node() or "?", "pid": str(os.getpid())}),
            }
        )
        if extra:
            reply["extra"] = pack(extra, config.wire.dtype)
        return reply

    @explains_out_of_memory("answering")
    def evaluate(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """Score the client's own model (shared and private tensors) on the global test set.

        On all of it, the client's own share is scored too, by the same answers.

        Raises:
            FedVLMError: see `Session.open`.
        """
        session = Session.open(self.process, content, run_config, node_config)
        config = session.config
        evaluator = Evaluator(config, session.model, self.process, config.engine.threads)
        found = evaluator.run(session.order.full)
        own = found.shares.get(session.order.client, {})
        scores = {task: values | own.get(task, {}) for task, values in found.scores.items()}
        return RecordDict({"scores": pack_scores(scores, found.seconds)})
