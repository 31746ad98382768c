"""Scores by generation on the global test set, with the controls of a blind model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from fedvlm_flwr.config import Eval
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.framing import frame_of, to_image_frame, to_model_frame
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


def sample(
    rows: Mapping[str, Sequence[int]], settings: Eval, seed: int
) -> dict[str, Sequence[int]]:
    """The rows of at most `eval.max_examples` of each task, the same ones in every round."""
    most = settings.max_examples
    result: dict[str, Sequence[int]] = {}
    for task, members in rows.items():
        result[task] = members
        if most is not None and len(members) > most:
            drawn = stream(seed, f"eval {task}").choice(len(members), most, replace=False)
            result[task] = [members[i] for i in sorted(drawn.tolist())]
    return result


def answers(
    model: Resident, found: Sequence[Example], settings: Eval, step: StepFn | None = None
) -> list[str]:
    """The model's greedy answers; it is shown pictures and questions and never an answer.

    Boxes go to the model as it sees the picture, padded or cropped, and its own come back as
    fractions of the picture.
    """
    vlm = model.vlm
    frames = [frame_of(example, vlm.frame) for example in found]
    asked = [to_model_frame(example, frame) for example, frame in zip(found, frames, strict=True)]
    prompts = [vlm.encode(example.question) for example in asked]
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
                result[i] = to_image_frame(text, found[i].task, frames[i])
            if step:
                step(start + len(pick), len(order))
    return result


def score(task: str, predictions: Sequence[str], found: Sequence[Example]) -> dict[str, float]:
    """The task's metrics."""
    values: dict[str, float] = load_task(task).score(
        predictions, [example.answer for example in found]
    )
    return values


def each(task: str, predictions: Sequence[str], found: Sequence[Example]) -> dict[str, list[float]]:
    """The task's metrics that are means over examples, one number an example."""
    values: dict[str, list[float]] = load_task(task).each(
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
