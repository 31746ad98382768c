"""Controls: what a model scores that does not look at the images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.evaluation.scores import score
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import load_task

ByTask = Mapping[str, Sequence[Example]]


def majority_scores(test: ByTask, training: ByTask) -> Scores:
    """What a model scores that always gives the training pool's most frequent answer.

    A task without training examples is left out.
    """
    result: Scores = {}
    for task, examples in test.items():
        pool = training.get(task, ())
        if pool:
            constant = load_task(task).majority([example.answer for example in pool])
            result[task] = score(task, [constant] * len(examples), examples)
    return result


def question_majority_scores(test: ByTask, training: ByTask) -> Scores:
    """What a model scores that reads the question and never looks at the image.

    It gives the most frequent answer of the training pool to that very question, and of the whole
    task where the pool does not hold the question.
    """
    result: Scores = {}
    for task, examples in test.items():
        pool: dict[str, list[str]] = {}
        for example in training.get(task, ()):
            pool.setdefault(example.question, []).append(example.answer)
        if pool:
            majority = load_task(task).majority
            best = {question: majority(answers) for question, answers in pool.items()}
            otherwise = majority([answer for answers in pool.values() for answer in answers])
            blind = [best.get(example.question, otherwise) for example in examples]
            result[task] = score(task, blind, examples)
    return result


def with_shuffled_images(examples: Sequence[Example], seed: int) -> list[Example]:
    """The same questions, each asked about another image of the set.

    Images are rotated by a random amount along a random order, so that none keeps its own; a
    single image stays.
    """
    images: list[Path] = sorted({example.image for example in examples})
    if len(images) < 2:
        return list(examples)
    draw = stream(seed, "exchanged pictures")
    order = [images[i] for i in draw.permutation(len(images))]
    shift = int(draw.integers(1, len(order)))
    other = {image: order[(i + shift) % len(order)] for i, image in enumerate(order)}
    return [replace(example, image=other[example.image]) for example in examples]
