"""Controls: what a model scores that does not look at the images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.evaluation.conventions import convention_scores
from fedvlm_flwr.evaluation.scores import score
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import load_task
from fedvlm_flwr.tasks.base import most_frequent

ByTask = Mapping[str, Sequence[Example]]
Images = tuple[Path, ...]  # of one record
Request = tuple[str | None, tuple[tuple[str, str], ...] | None]  # a question, and what is before it


def majority_scores(test: ByTask, training: ByTask, conventions: Sequence[str] = ()) -> Scores:
    """What a model scores that always gives the training pool's most frequent answer.

    A task without training examples is left out. A convention, which may read letters and wording,
    is given the answer as it stands in the records.
    """
    result: Scores = {}
    for task, examples in test.items():
        pool = training.get(task, ())
        if pool:
            answers = [example.answer for example in pool]
            constant, worded = load_task(task).majority(answers), most_frequent(answers)
            count = len(examples)
            result[task] = score(task, [constant] * count, examples) | convention_scores(
                task, [worded] * count, examples, conventions
            )
    return result


def question_majority_scores(
    test: ByTask, training: ByTask, conventions: Sequence[str] = ()
) -> Scores:
    """What a model scores that reads the question and never looks at the image.

    It gives the most frequent answer of the training pool to that very question behind the same
    earlier turns, to the question whatever is before it where the pool does not hold them, and of
    the whole task where it does not hold the question; to a convention as `majority_scores` does.
    """
    result: Scores = {}
    for task, examples in test.items():
        pool: dict[Request, list[str]] = {}
        for example in training.get(task, ()):
            for request in _requests(example):
                pool.setdefault(request, []).append(example.answer)
        if pool:
            blind = _by_question(pool, examples, load_task(task).majority)
            worded = _by_question(pool, examples, most_frequent)
            result[task] = score(task, blind, examples) | convention_scores(
                task, worded, examples, conventions
            )
    return result


def _requests(example: Example) -> tuple[Request, ...]:
    """What an example asks, from the most to the least that a reader of it knows."""
    return (example.question, example.history), (example.question, None), (None, None)


def _by_question(
    pool: Mapping[Request, Sequence[str]],
    examples: Sequence[Example],
    majority: Callable[[Sequence[str]], str],
) -> list[str]:
    """The most frequent answer to each example's question."""
    best = {request: majority(answers) for request, answers in pool.items()}
    return [
        next(best[request] for request in _requests(one) if request in best) for one in examples
    ]


def with_shuffled_images(examples: Sequence[Example], seed: int) -> list[Example]:
    """The same questions, each asked about other images of the set.

    Images are rotated by a random amount along a random order, so that none keeps its own; a
    single image stays. The images of a record with several are exchanged together for those of
    another record with as many; a record without any stays as it is.
    """
    by_count: dict[int, set[Images]] = {}
    for example in examples:
        by_count.setdefault(len(example.images), set()).add(example.images)
    other: dict[Images, Images] = {}
    for count, distinct in sorted(by_count.items()):
        images = sorted(distinct)
        if len(images) > 1:
            draw = stream(seed, "exchanged pictures", *([count] if count > 1 else []))
            order = [images[i] for i in draw.permutation(len(images))]
            shift = int(draw.integers(1, len(order)))
            other |= {own: order[(i + shift) % len(order)] for i, own in enumerate(order)}
    return [replace(one, images=other.get(one.images, one.images)) for one in examples]
