"""The scores of the model at hand: over the global test set, and on each client's share of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.evaluation.scoring import (
    Scores,
    StepFn,
    answers,
    by_task,
    each,
    majority_scores,
    question_majority_scores,
    sample,
    score,
    with_exchanged_pictures,
)
from fedvlm_flwr.evaluation.statistics import intervals, share_means
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.process import Process
from fedvlm_flwr.seeding import stream


@dataclass(frozen=True)
class Scored:
    """What an evaluation came to.

    Attributes:
        scores: metrics by task.
        shares: each client's `local_` metrics by task, on its own share of the test set; none
            where a sample was scored.
        predictions: one record per answer.
    """

    scores: Scores
    shares: dict[int, Scores]
    predictions: list[dict[str, str | int]]
    seconds: float


class Evaluator:
    """Scores the tensors that the model holds, and tells how long it took."""

    def __init__(self, config: Config, model: Resident, process: Process, threads: int) -> None:
        self._config = config
        self._model = model
        self._data = data = process.data(config)
        self._threads = threads
        self._asked = examples(data.test, data.root)
        self.full = by_task(self._asked)
        self._client_of = {
            row: k for k, own in enumerate(process.test_shares(config)) for row in own
        }
        self._rows: dict[str, list[int]] = {task: [] for task in self.full}
        for row, example in enumerate(self._asked):
            self._rows[example.task].append(row)
        self._part = sample(self._rows, config.eval, config.seed)

    @cached_property
    def _training(self) -> dict[str, list[Example]]:
        return by_task(examples(self._data.train, self._data.root))

    def run(self, full: bool, step: StepFn | None = None) -> Scored:
        """Score every task on the whole test set, or on the sample for rounds in between.

        On the whole test set the metrics that are means over examples have their 95 % interval
        beside them (`<metric>_low`, `<metric>_high`), and each client's own share is scored too,
        by the same answers.
        """
        began = time.monotonic()
        torch.set_num_threads(self._threads)
        chosen = self._rows if full else self._part
        found = {task: [self._asked[row] for row in rows] for task, rows in chosen.items()}
        told = self._answers(found, step)
        scores = {task: score(task, told[task], members) for task, members in found.items()}
        shares: dict[int, Scores] = {}
        for task in found if full else ():
            values = each(task, told[task], found[task])
            scores[task] |= self._ends(task, values)
            clients = [self._client_of[row] for row in chosen[task]]
            for client, own in share_means(values, clients).items():
                shares.setdefault(client, {})[task] = own
        records = [
            self._record(row, text)
            for task, rows in chosen.items()
            for row, text in zip(rows, told[task], strict=True)
        ]
        return Scored(scores, shares, records, time.monotonic() - began)

    def exchanged(self, step: StepFn | None = None) -> tuple[Scores, float]:
        """Scores on exchanged pictures: what remains comes from the questions alone."""
        began = time.monotonic()
        torch.set_num_threads(self._threads)
        seed = self._config.seed
        found = {task: with_exchanged_pictures(m, seed) for task, m in self.full.items()}
        told = self._answers(found, step)
        scores = {task: score(task, told[task], members) for task, members in found.items()}
        return scores, time.monotonic() - began

    def majority(self) -> Scores:
        """Scores of the constant answer on the whole test set."""
        return majority_scores(self.full, self._training)

    def question_majority(self) -> Scores:
        """Scores of the most frequent answer to each question on the whole test set."""
        return question_majority_scores(self.full, self._training)

    def _answers(
        self, found: Mapping[str, Sequence[Example]], step: StepFn | None
    ) -> dict[str, list[str]]:
        done, total = 0, sum(len(members) for members in found.values())
        told = {}
        for task, members in found.items():
            further = _further(step, done, total) if step else None
            told[task] = answers(self._model, members, self._config.eval, further)
            done += len(members)
        return told

    def _ends(self, task: str, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Both ends of each metric's interval; the same examples are drawn in every round."""
        draw = stream(self._config.seed, f"bootstrap {task}")
        found = intervals(values, self._config.eval.bootstrap, draw)
        lows = {f"{name}_low": low for name, (low, _) in found.items()}
        return lows | {f"{name}_high": high for name, (_, high) in found.items()}

    def _record(self, row: int, text: str) -> dict[str, str | int]:
        example = self._asked[row]
        return {
            "task": example.task,
            "id": example.id,
            "client": self._client_of[row],
            "question": example.question,
            "reference": example.answer,
            "prediction": text,
        }


def _further(step: StepFn, before: int, total: int) -> StepFn:
    """Counts on from the tasks before."""
    return lambda done, _: step(before + done, total)
