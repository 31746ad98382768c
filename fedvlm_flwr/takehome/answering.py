"""Questions of one's own to a run's model, answered as the run's evaluation answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fedvlm_flwr.data.federated import IMAGE_MARK, PLACE, Example
from fedvlm_flwr.errors import DataError, RunError
from fedvlm_flwr.evaluation.answers import StepFn, generate_answers
from fedvlm_flwr.run_folder import PREDICTIONS
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import RunModel
from fedvlm_flwr.tasks import load_task

KEYS = {"image", "question", "task"}  # of a line of a file of questions


@dataclass(frozen=True)
class Question:
    """What is asked about pictures.

    Attributes:
        images: in the order in which they are shown.
        text: of several pictures each has its `<image>` in it, or they stand before it.
        task: that it is of; None: as `task_of` finds it, and where that does not, every box that
            question or answer holds is taken for one.
    """

    images: tuple[Path, ...]
    text: str
    task: str | None = None


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSON Lines file: `image` (a path or a list), `question`, perhaps `task`.

    Paths are relative to the file's folder.

    Raises:
        DataError: it cannot be read; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); name a file of questions.") from error
    questions = [
        _question(line, path, number) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not questions:
        raise DataError(f"{path} holds no question; write one a line.")
    return questions


def _question(line: str, path: Path, number: int) -> Question:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number} is no JSON ({error}); mend it.") from error
    row = row if isinstance(row, dict) else {}
    images: Any = row.get("image")
    images = [images] if isinstance(images, str) else images
    texts = [row.get("question"), row.get("task", "")]
    texts += images if isinstance(images, list) else [None]
    if row.keys() - KEYS or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f'{path}, line {number} is not {{"image": "a.png", "question": "..."}} with perhaps '
            "several images in a list, and a task; mend it."
        )
    return Question(tuple(path.parent / one for one in images), row["question"], row.get("task"))


def answer(
    run_model: RunModel,
    questions: Sequence[Question],
    max_new_tokens: int | None = None,
    step: StepFn | None = None,
) -> list[dict[str, Any]]:
    """The model's greedy answers, boxes in fractions of the picture.

    Args:
        max_new_tokens: after which an answer is ended; None: as in the run's evaluation.
        step: called with the answers given so far, and their number in all.

    Returns:
        For each question its `image` (a list, where there are several or none), `question`, `task`
        (None: it is not known) and `prediction`.

    Raises:
        DataError: a picture cannot be read, or its places in the question are not as many.
        ModelError: the model does not take so many pictures.
        ConfigError: there is no such task.
        RunError: the length of answers cannot be told from the run.
    """
    run = run_model.run
    most = max_new_tokens or run.max_new_tokens or run.config.eval.max_new_tokens
    if most is None:
        raise RunError(
            f"The run in {run.folder.path} does not say how long answers become; give --tokens N."
        )
    by_words = _tasks_by_question(run)
    tasks = [one.task or task_of(run, one.text, by_words) for one in questions]
    examples = [
        Example(str(number), one.images, _with_places(one), "", task or widest(run.tasks))
        for number, (one, task) in enumerate(zip(questions, tasks, strict=True))
    ]
    for example in examples:
        load_task(example.task)  # refuses one that there is not
        run_model.model.vlm.require_pictures(len(example.images))
    torch.set_num_threads(run.config.eval.threads)
    settings = replace(run.config.eval, max_new_tokens=most)
    texts = generate_answers(run_model.model, examples, settings, step)
    return [
        {
            "image": str(one.image) if len(one.images) == 1 else [str(path) for path in one.images],
            "question": one.question,
            "task": task,
            "prediction": text,
        }
        for one, task, text in zip(examples, tasks, texts, strict=True)
    ]


def task_of(run: FinishedRun, text: str, by_words: Mapping[str, set[str]]) -> str | None:
    """The task of a question that names none: the run's only one, or that of the same words.

    Args:
        by_words: the tasks of the test set's questions, by their text.

    Returns:
        None where neither tells it.
    """
    tasks = by_words.get(text.strip(), set()) or set(run.tasks)
    return next(iter(tasks)) if len(tasks) == 1 else None


def widest(tasks: Sequence[str]) -> str:
    """The task that reads boxes in the most texts; one without boxes it leaves as it is."""
    return max(tasks, key=lambda task: len(load_task(task).BOXES_IN))


def _tasks_by_question(run: FinishedRun) -> dict[str, set[str]]:
    tasks: dict[str, set[str]] = {}
    for line in run.folder.lines(PREDICTIONS):
        tasks.setdefault(line["question"], set()).add(line["task"])
    return tasks


def _with_places(question: Question) -> str:
    """The question as a record has it: with a place for each of several pictures."""
    text, count = question.text.strip(), len(question.images)
    if count == 1:
        return text.removeprefix(IMAGE_MARK)
    places = text.count(PLACE)
    if places not in (0, count):
        raise DataError(
            f"The question {text[:80]!r} has {places} places '{PLACE}' and shows {count} pictures; "
            "write one for each, or none to have them stand before it."
        )
    return text if places else f"{IMAGE_MARK * count}{text}"
