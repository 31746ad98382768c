"""The worker: serves the messages of any client with the one model of its process."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flwr.app import RecordDict

from client_app.disclosure import site_records, site_scores, site_vocabulary
from client_app.local import LocalResult, draw, seed_dropout, train_locally
from client_app.oom import explains_out_of_memory
from client_app.session import Session, model_of
from client_app.site import Site, site_of
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config, Scalar
from fedvlm_flwr.errors import RequestError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.handshake import fingerprints
from fedvlm_flwr.messages import (
    AnswersReply,
    AnswersRequest,
    ScoresReply,
    ScoresRequest,
    SiteReply,
    TrainMetrics,
    TrainReply,
    TrainRequest,
)
from fedvlm_flwr.messages.wire import unpack
from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.models.parts import read, write
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.paths import models_in
from fedvlm_flwr.process import Process
from fedvlm_flwr.schedule import round_lr, steps_of
from fedvlm_flwr.seeding import stream, torch_seed
from strategies import load_hook
from strategies.core.client_hook import ClientHook, PersonalModel


class Worker:
    """Trains on a message's arrays, or scores them.

    Between messages its process holds the frozen model and the features of images.
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
            content: a packed `TrainRequest`.
            run_config: Flower's run-config, the same on the server.
            node_config: the site's own facts, see `Site`.

        Raises:
            FedVLMError: see `Session.open`; or the loss is not finite.
        """
        began = time.monotonic()
        request = TrainRequest.unpack(content)
        session = Session.open(self.process, request, run_config, node_config)
        owners = request.data if session.site is None else (0,)  # of all that there is
        shares = [self.process.rows_of(session.config, c) for c in owners]
        hook = load_hook(session.config.algorithm)
        hook.on_start(session.parameters, session.start)
        result = self._train(session, request, shares, hook)
        output = hook.on_end(session.parameters, result.steps)
        after = read(session.parameters)
        personal = self._train_personal(session, request, shares, hook.personal(session.start))
        outgoing = session.outgoing(after, output.extra)
        state = hook.on_sent(outgoing.as_read, outgoing.extra, output)
        saved = session.private.save(request.round, replace(outgoing.memory, hook=state | personal))
        session.private.forget_before(request.state_round)
        metrics = TrainMetrics(
            num_examples=sum(len(share) for share in shares),
            loss=result.loss,
            steps=result.steps,
            examples_seen=result.examples_seen,
            seconds=time.monotonic() - began,
            saved_state=saved,
            truncated_questions=session.model.vlm.truncated_questions,
            images_encoded=session.model.features.encoded,
            **self.process.usage(),
        )
        reply = TrainReply(outgoing.arrays, metrics, outgoing.extra)
        return reply.pack(session.config.wire.dtype)

    def _train_personal(
        self,
        session: Session,
        request: TrainRequest,
        shares: Sequence[Sequence[int]],
        model: PersonalModel | None,
    ) -> Arrays:
        """Train the client's own model in the place of the shared one; what stays of it."""
        if model is None:
            return {}
        write(session.holding(model.arrays), model.arrays)
        model.hook.on_start(session.parameters, session.start)
        self._train(session, request, shares, model.hook, "personal")
        return {f"{model.prefix}{n}": v for n, v in read(session.holding(model.arrays)).items()}

    def _train(
        self,
        session: Session,
        request: TrainRequest,
        shares: Sequence[Sequence[int]],
        hook: ClientHook,
        purpose: str = "",
    ) -> LocalResult:
        """The optimizer steps, with the draws of this purpose, stage, round and client.

        Only the records that are drawn are read.

        Args:
            shares: rows of the training table.
        """
        config, place = session.config, (request.stage, request.round, request.client)
        rows = [row for share in shares for row in share]
        steps = sum(steps_of(config.train, len(share)) for share in shares)
        order = stream(config.seed, f"{purpose}batches", *place)
        draws = [[rows[i] for i in pick] for pick in draw(len(rows), config.train, steps, order)]
        distinct = sorted({row for batch in draws for row in batch})
        records = self.process.examples_at(config, distinct)
        example = dict(zip(distinct, records, strict=True))
        seed_dropout(session.model.vlm.device, torch_seed(config.seed, f"{purpose}dropout", *place))
        return train_locally(
            session.model,
            session.parameters,
            [[example[row] for row in batch] for batch in draws],
            config.train,
            round_lr(config, request.stage, request.round),
            hook,
        )

    @explains_out_of_memory("answering")
    def evaluate(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """Score the model that a client has: the shared tensors and its private ones.

        A simulated client's is scored on the global test set, and where that is the whole one, on
        the client's own share by the same answers; a real site's on the records that it holds out.

        Args:
            content: a packed `ScoresRequest`.
            run_config: as for `train`.
            node_config: as for `train`.

        Raises:
            FedVLMError: see `Session.open`.
        """
        request = ScoresRequest.unpack(content)
        session = Session.open(self.process, request, run_config, node_config)
        config = session.config
        scored = load_hook(config.algorithm).scored(session.start)
        if scored is not session.start.shared:  # these lie there already
            write(session.holding(scored), scored)
        result = self._evaluator(config, session.model).run(request.full)
        if session.site is not None:
            return site_scores(result, config.privacy.min_examples).pack()
        own = result.shares.get(request.client, {})
        scores = {task: values | own.get(task, {}) for task, values in result.scores.items()}
        return ScoresReply(scores, result.seconds).pack()

    @explains_out_of_memory("answering")
    def answers(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """Answer a part of the server's test questions with the server's model.

        Args:
            content: a packed `AnswersRequest`.
            run_config: as for `train`.
            node_config: as for `train`.

        Raises:
            RequestError: this is a real site, which answers for nobody else.
            FedVLMError: the configuration, the data or the model cannot be used; one sentence.
        """
        if site_of(node_config) is not None:
            raise RequestError("A real site does not answer the server's test questions.")
        request = AnswersRequest.unpack(content)
        config, model = model_of(self.process, run_config, None)
        arrays, previous = unpack(request.arrays), unpack(request.previous)
        model.place(request.stage, arrays, previous, unpack(request.residual))
        evaluator = self._evaluator(config, model)
        return AnswersReply(evaluator.answers(request.what, request.part, request.parts)).pack()

    def _evaluator(self, config: Config, model: Resident) -> Evaluator:
        """What scores the model on the test records, of which it has counted the tokens."""
        threads = config.engine.threads
        return self.process.beside_model(
            config, lambda: Evaluator(config, model, self.process, threads)
        )

    def introduce(
        self,
        content: RecordDict,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> RecordDict:
        """Who a real site is, what it holds and what it computes with; its data is read anew.

        Args:
            content: nothing.
            run_config: as for `train`.
            node_config: as for `train`.

        Raises:
            FedVLMError: the node-config, the configuration, the data or the model cannot be used.
        """
        site = Site.of(node_config)
        self.process.forget_data()
        own = site.own(self.process.compose(run_config))
        data = self.process.data(own)
        records = site_records(data, own.privacy.min_examples)
        with models_in(site.model_root):
            prepare_model(own.model)  # where it is not there: last, since it may take minutes
        config, model = model_of(self.process, run_config, site)
        vocabulary = site_vocabulary(config, model.vlm, data)
        facts = fingerprints(self.process.compose(run_config), model)
        counts = vars(records) | vars(vocabulary) | vars(facts)
        return SiteReply(site=site.site, lora_rank=site.lora_rank or 0, **counts).pack()
