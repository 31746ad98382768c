"""The scores of the model at hand: over the global test set, and on each client's share of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import torch

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.evaluation.answers import StepFn, by_task, generate_answers, part_of, sample
from fedvlm_flwr.evaluation.controls import (
    majority_scores,
    question_majority_scores,
    with_shuffled_images,
)
from fedvlm_flwr.evaluation.conventions import (
    convention_scores,
    convention_scores_each,
    require_headlines,
    require_tasks,
)
from fedvlm_flwr.evaluation.scores import score, score_each
from fedvlm_flwr.evaluation.statistics import UNFINISHED, intervals, share_means
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.models.vocabulary import answer_lengths, usual_length
from fedvlm_flwr.process import Process
from fedvlm_flwr.seeding import stream

WHOLE, SAMPLE, SHUFFLED = "whole", "sample", "shuffled"  # questions that are asked
OwnAnswers = Callable[[str, int, int], list[str]]  # `Evaluator.answers`
# Answers to so many questions of a kind, in their order, by others than the evaluator's model.
Others = Callable[[str, int, StepFn | None, OwnAnswers], list[str]]


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation came to.

    Attributes:
        scores: metrics by task.
        shares: each client's `local_` metrics by task, on its own share of the test set; none
            where a sample was scored, or the set is no client's in particular.
        counts: examples by task.
        squares: by task, of the metrics that are means over examples, the mean of their squares;
            none where a sample was scored.
        predictions: one record per answer; where the whole test set was scored, with what each
            metric that is a mean over examples gives for it, as `scores`.
        seconds: of answering and scoring.
    """

    scores: Scores
    shares: dict[int, Scores]
    counts: dict[str, int]
    squares: Scores
    predictions: list[dict[str, Any]]
    seconds: float


class Evaluator:
    """Scores the tensors that the model holds, and tells how long it took.

    Args:
        data: its `test` is scored; its `train` gives the controls their answers.
        threads: of torch, while it answers.
        others: who answers instead of the model.
        alone: there is no federation around it: no training records are needed, clients have no
            shares of the test set, and `eval.max_examples` is all that is scored.

    Attributes:
        full: the examples of the whole test set by task.
        most_tokens: after which an answer is ended.
        longer: right answers that are longer than that.
    """

    def __init__(
        self,
        config: Config,
        model: Resident,
        process: Process,
        threads: int,
        *,
        others: Others | None = None,
        alone: bool = False,
    ) -> None:
        self._config = config
        self._others = others
        self._model = model
        self._data = data = process.tables(config) if alone else process.data(config)
        self._threads = threads
        self._examples = examples(data.test, data.root, None, data.box_decimals)
        self.full = by_task(self._examples)
        self._conventions = config.eval.conventions
        require_tasks(self._conventions, list(self.full))
        self._divided = not config.engine.real_sites and not alone
        self._of_a_site = config.engine.real_sites and not alone
        shares = process.test_shares(config) if self._divided else []
        self._client_of = {row: k for k, own in enumerate(shares) for row in own}
        self._rows: dict[str, list[int]] = {task: [] for task in self.full}
        for row, example in enumerate(self._examples):
            self._rows[example.task].append(row)
        self._sample = sample(self._rows, config.eval, config.seed)
        if alone:
            self._rows = {task: list(rows) for task, rows in self._sample.items()}
            self.full = {t: [self._examples[i] for i in own] for t, own in self._rows.items()}
        lengths = answer_lengths(model.vlm, [one.answer for one in self._examples])
        self.most_tokens = config.eval.max_new_tokens or usual_length(lengths)
        self._is_longer = [length > self.most_tokens for length in lengths]
        self.longer = sum(self._is_longer)

    @property
    def has_training(self) -> bool:
        """Whether there are training records, for the controls that answer as they do."""
        return len(self._data.train) > 0

    @cached_property
    def _training(self) -> dict[str, list[Example]]:
        return by_task(examples(self._data.train, self._data.root, None, self._data.box_decimals))

    def run(self, full: bool, step: StepFn | None = None) -> EvaluationResult:
        """Score every task on the whole test set, or on the sample for rounds in between.

        On the whole test set the metrics that are means over examples have their 95 % interval
        beside them (`<metric>_low`, `<metric>_high`), and each client's own share is scored too,
        by the same answers. Beside a task's scores stands `unfinished`, the share of right answers
        that are longer than a generated one may be: at a real site, and where there are some.

        Args:
            step: called as answers are given.
        """
        start = time.monotonic()
        what = WHOLE if full else SAMPLE
        rows, test = self._rows if full else self._sample, self.questions(what)
        predictions = self._predict(what, test, step)
        scores = self._score(predictions, test)
        if full:
            require_headlines(self._config.eval.headlines, scores)
        shares: dict[int, Scores] = {}
        squares: Scores = {}
        by_example: dict[str, dict[str, list[float]]] = {}
        for task in test if full else ():
            values = score_each(task, predictions[task], test[task]) | convention_scores_each(
                task, predictions[task], test[task], self._conventions
            )
            by_example[task] = values
            scores[task] |= self._interval_ends(task, values)
            squares[task] = {name: fmean(v * v for v in own) for name, own in values.items()}
            clients = [self._client_of[row] for row in rows[task]] if self._divided else []
            columns = values | self._unfinished(task, rows[task])
            for client, own in share_means(columns, clients).items():
                shares.setdefault(client, {})[task] = own
        for task, numbers in rows.items():
            unfinished = self._unfinished(task, numbers)
            scores[task] |= {name: fmean(each) for name, each in unfinished.items()}
        records = [
            self._record(row, text) | _own_scores(by_example.get(task, {}), i)
            for task, numbers in rows.items()
            for i, (row, text) in enumerate(zip(numbers, predictions[task], strict=True))
        ]
        counts = {task: len(own) for task, own in test.items()}
        seconds = time.monotonic() - start
        return EvaluationResult(scores, shares, counts, squares, records, seconds)

    def shuffled(self, step: StepFn | None = None) -> tuple[Scores, float]:
        """Scores on shuffled images, and seconds: what remains comes from the questions alone."""
        start = time.monotonic()
        test = self.questions(SHUFFLED)
        scores = self._score(self._predict(SHUFFLED, test, step), test)
        return scores, time.monotonic() - start

    def majority(self) -> Scores:
        """Scores of the constant answer on the whole test set."""
        return majority_scores(self.full, self._training, self._conventions)

    def question_majority(self) -> Scores:
        """Scores of the most frequent answer to each question on the whole test set."""
        return question_majority_scores(self.full, self._training, self._conventions)

    def questions(self, what: str) -> dict[str, list[Example]]:
        """The examples that are answered, by task.

        Args:
            what: the whole test set, the sample for rounds in between, or the whole one with the
                images of other questions.
        """
        if what == SHUFFLED:
            seed = self._config.seed
            return {task: with_shuffled_images(own, seed) for task, own in self.full.items()}
        rows = self._rows if what == WHOLE else self._sample
        return {task: [self._examples[row] for row in numbers] for task, numbers in rows.items()}

    def answers(self, what: str, part: int, parts: int) -> list[str]:
        """The model's answers to a part of all that are asked, one task after the other."""
        every = [example for own in self.questions(what).values() for example in own]
        return self._generate([every[i] for i in part_of(len(every), part, parts)], None)

    def _predict(
        self, what: str, test: Mapping[str, Sequence[Example]], step: StepFn | None
    ) -> dict[str, list[str]]:
        """The answers by task."""
        count, total = 0, sum(len(own) for own in test.values())
        if self._others is not None:
            texts = iter(self._others(what, total, step, self.answers))
            return {task: [next(texts) for _ in own] for task, own in test.items()}
        predictions = {}
        for task, own in test.items():
            onward = _counting_on(step, count, total) if step else None
            predictions[task] = self._generate(own, onward)
            count += len(own)
        return predictions

    def _generate(self, examples: Sequence[Example], step: StepFn | None) -> list[str]:
        """The model's answers."""
        torch.set_num_threads(self._threads)
        settings = replace(self._config.eval, max_new_tokens=self.most_tokens)
        return generate_answers(self._model, examples, settings, step)

    def _score(
        self, predictions: Mapping[str, Sequence[str]], test: Mapping[str, Sequence[Example]]
    ) -> Scores:
        return {
            task: score(task, predictions[task], own)
            | convention_scores(task, predictions[task], own, self._conventions)
            for task, own in test.items()
        }

    def _interval_ends(self, task: str, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Both ends of each metric's interval; the same examples are drawn in every round."""
        draw = stream(self._config.seed, f"bootstrap {task}")
        ends = intervals(values, self._config.eval.bootstrap, draw)
        lows = {f"{name}_low": low for name, (low, _) in ends.items()}
        return lows | {f"{name}_high": high for name, (_, high) in ends.items()}

    def _unfinished(self, task: str, rows: Sequence[int]) -> dict[str, list[float]]:
        """For each of some rows whether its right answer is longer than a generated one may be.

        Nothing where none of the task is, so that all clients of a simulation tell the same. What
        other sites hold is not known to a real one, which tells it in any case.
        """
        if not self._of_a_site and not any(self._is_longer[row] for row in self._rows[task]):
            return {}
        return {UNFINISHED: [float(self._is_longer[row]) for row in rows]}

    def _record(self, row: int, text: str) -> dict[str, Any]:
        example = self._examples[row]
        return {
            "task": example.task,
            "id": example.id,
            **({"client": self._client_of[row]} if self._divided else {}),
            "question": example.question,
            "reference": example.answer,
            "prediction": text,
        }


def _own_scores(values: Mapping[str, Sequence[float]], i: int) -> dict[str, dict[str, float]]:
    """What each metric gives for one example; nothing where none was taken by example."""
    return {"scores": {name: own[i] for name, own in values.items()}} if values else {}


def _counting_on(step: StepFn, before: int, total: int) -> StepFn:
    """Counts on from the tasks before."""
    return lambda count, _: step(before + count, total)
