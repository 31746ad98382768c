"""Scores by generation on the global test set, with the controls of a blind model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from fedvlm_flwr.config import Config
from fedvlm_flwr.config.schema import Eval
from fedvlm_flwr.data.federated import Example, FederatedData, examples
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import load_task

Scores = dict[str, dict[str, float]]
StepFn = Callable[[int, int], None]


def by_task(found: Sequence[Example]) -> dict[str, list[Example]]:
    """Examples of each task, tasks sorted by name."""
    grouped: dict[str, list[Example]] = {}
    for example in found:
        grouped.setdefault(example.task, []).append(example)
    return dict(sorted(grouped.items()))


def global_test_set(config: Config, data: FederatedData) -> dict[str, list[Example]]:
    """The global test set by task."""
    return by_task(examples(data.test, data.root))


def sample(found: dict[str, list[Example]], settings: Eval, seed: int) -> dict[str, list[Example]]:
    """At most `eval.max_examples` of each task, the same ones in every round."""
    most = settings.max_examples
    result = {}
    for task, members in found.items():
        drawn = list(range(len(members)))
        if most is not None and len(members) > most:
            chooser = stream(seed, f"eval {task}")
            drawn = sorted(chooser.choice(len(members), most, replace=False).tolist())
        result[task] = [members[i] for i in drawn]
    return result


def answers(
    model: Resident, found: Sequence[Example], settings: Eval, step: StepFn | None = None
) -> list[str]:
    """The model's greedy answers; it is shown pictures and questions and never an answer."""
    vlm = model.vlm
    prompts = [vlm.encode(example.question) for example in found]
    # Prompts of one length together: less padding, and no row waits for a longer one.
    order = sorted(range(len(found)), key=lambda i: (len(prompts[i].prompt_ids), i))
    result = [""] * len(found)
    vlm.module.eval()
    with torch.inference_mode():
        for start in range(0, len(order), settings.batch_size):
            pick = order[start : start + settings.batch_size]
            features = model.features([found[i].image for i in pick])
            texts = vlm.generate(features, [prompts[i] for i in pick], settings.max_new_tokens)
            for i, text in zip(pick, texts, strict=True):
                result[i] = text
            if step:
                step(start + len(pick), len(order))
    return result


def score(task: str, predictions: Sequence[str], found: Sequence[Example]) -> dict[str, float]:
    """The task's metrics."""
    values: dict[str, float] = load_task(task).score(
        predictions, [example.answer for example in found]
    )
    return values


def majority_scores(found: dict[str, list[Example]], training: dict[str, list[Example]]) -> Scores:
    """What a model scores that always gives the training pool's most frequent answer."""
    result: Scores = {}
    for task, members in found.items():
        pool = training.get(task, [])
        if pool:
            constant = load_task(task).majority([example.answer for example in pool])
            result[task] = score(task, [constant] * len(members), members)
    return result


def question_majority_scores(
    found: dict[str, list[Example]], training: dict[str, list[Example]]
) -> Scores:
    """What a model scores that reads the question and never looks at the picture.

    It gives the most frequent answer of the training pool to that very question, and of the whole
    task where the pool does not hold the question.
    """
    result: Scores = {}
    for task, members in found.items():
        pool: dict[str, list[str]] = {}
        for example in training.get(task, []):
            pool.setdefault(example.question, []).append(example.answer)
        if pool:
            majority = load_task(task).majority
            best = {question: majority(known) for question, known in pool.items()}
            otherwise = majority([answer for known in pool.values() for answer in known])
            blind = [best.get(example.question, otherwise) for example in members]
            result[task] = score(task, blind, members)
    return result


def with_exchanged_pictures(found: Sequence[Example], seed: int) -> list[Example]:
    """The same questions, each asked about another picture of the set.

    Pictures are rotated by a random amount along a random order, so that none keeps its own.
    """
    pictures: list[Path] = sorted({example.image for example in found})
    if len(pictures) < 2:
        return list(found)
    draw = stream(seed, "exchanged pictures")
    order = [pictures[i] for i in draw.permutation(len(pictures))]
    shift = int(draw.integers(1, len(order)))
    other = {image: order[(i + shift) % len(order)] for i, image in enumerate(order)}
    return [replace(example, image=other[example.image]) for example in found]


class Evaluator:
    """Scores the tensors that the model holds, and tells how long it took."""

    def __init__(self, config: Config, model: Resident, data: FederatedData, threads: int) -> None:
        self._config = config
        self._model = model
        self._data = data
        self._threads = threads
        self.full = global_test_set(config, data)
        self.part = sample(self.full, config.eval, config.seed)

    @cached_property
    def _training(self) -> dict[str, list[Example]]:
        return by_task(examples(self._data.train, self._data.root))

    def run(
        self, full: bool, step: StepFn | None = None
    ) -> tuple[Scores, list[dict[str, str]], float]:
        """Score every task on the whole test set, or on the sample for rounds in between.

        Returns:
            Metrics by task, one record per prediction, seconds.
        """
        began = time.monotonic()
        torch.set_num_threads(self._threads)
        chosen = self.full if full else self.part
        scores, predictions = self._score(chosen, step)
        return scores, predictions, time.monotonic() - began

    def exchanged(self, step: StepFn | None = None) -> tuple[Scores, float]:
        """Scores on exchanged pictures: what remains comes from the questions alone."""
        began = time.monotonic()
        torch.set_num_threads(self._threads)
        seed = self._config.seed
        chosen = {task: with_exchanged_pictures(m, seed) for task, m in self.full.items()}
        return self._score(chosen, step)[0], time.monotonic() - began

    def majority(self) -> Scores:
        """Scores of the constant answer on the whole test set."""
        return majority_scores(self.full, self._training)

    def question_majority(self) -> Scores:
        """Scores of the most frequent answer to each question on the whole test set."""
        return question_majority_scores(self.full, self._training)

    def _score(
        self, chosen: dict[str, list[Example]], step: StepFn | None
    ) -> tuple[Scores, list[dict[str, str]]]:
        scores, records = {}, []
        done, total = 0, sum(len(members) for members in chosen.values())
        for task, members in chosen.items():
            offset = done
            texts = answers(
                self._model,
                members,
                self._config.eval,
                (lambda n, _, o=offset: step(o + n, total)) if step else None,  # type: ignore[misc]
            )
            done += len(members)
            scores[task] = score(task, texts, members)
            records += [
                {
                    "task": task,
                    "id": example.id,
                    "question": example.question,
                    "reference": example.answer,
                    "prediction": text,
                }
                for example, text in zip(members, texts, strict=True)
            ]
        return scores, records
