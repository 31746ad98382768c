"""ScienceQA: questions with pictures from school (Lu et al., 2022, arXiv 2209.09513).

    <raw>/data/scienceqa/problems.json              {"12": {"question", "choices", "answer", ...}}
    <raw>/data/scienceqa/images/train/12/image.png  where the problem's "image" is "image.png"
    <raw>/data/captions.json                        {"captions": {"12": "A map of ..."}}

as in its repository; all of it may lie in `raw` itself. Or a hub folder with the columns image,
question, choices, answer, hint, grade, subject, topic and category, which has no captions. The
captions are a captioning model's (nlpconnect/vit-gpt2-image-captioning), not people's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from fedvlm_flwr.data.hub_rows import HubPictures, hub_rows, is_hub
from fedvlm_flwr.data.sources.base import (
    Item,
    Picture,
    key_of,
    read_json,
    require_form,
    require_some,
)
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.settings import setting

TASKS = ("captioning", "vqa")
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # ours: the hub's
FIELDS = ("subject", "topic", "category", "grade")
COLUMNS = ("image", "question", "choices", "answer", "hint", *FIELDS)


@dataclass(frozen=True)
class Params:
    """Which problems are taken, and how they are asked."""

    tasks: list[str]
    """Of captioning and vqa; a problem gives a question for each."""
    train_splits: list[str] = field(metadata=setting(choices=tuple(SPLITS)))
    """The source's own splits (train, val, test) whose problems are training records."""
    test_splits: list[str] = field(metadata=setting(choices=tuple(SPLITS)))
    """Those that are test records."""
    caption_question: str
    """What is asked for a caption."""
    caption_answer: str
    """{caption} stands for the caption."""
    vqa_question: str
    """{question} and {choices} stand for the question and its choices, "A. North" a line."""
    vqa_context: str
    """Goes before a question that has a hint; {hint} stands for it."""
    vqa_answer: str
    """{letter} stands for the right choice's letter."""

    def __post_init__(self) -> None:
        require_some("scienceqa", "tasks", self.tasks, TASKS)
        require_form("caption_answer", self.caption_answer, "caption")
        for name in ("question", "choices"):
            require_form("vqa_question", self.vqa_question, name)
        require_form("vqa_context", self.vqa_context, "hint")
        require_form("vqa_answer", self.vqa_answer, "letter")


@dataclass(frozen=True, slots=True)
class _Problem:
    """A problem with a picture; `where` is its place in the source, for messages."""

    id: str
    split: str
    record: Mapping[str, Any]
    where: str
    picture: Picture
    image: str
    caption: str


def read(raw: Path, params: Params) -> Iterator[Item]:
    """A question of each task on each problem that has a picture; fields as in `FIELDS`.

    A picture without a caption has an empty answer.

    Raises:
        ConfigError: captions are asked of a hub folder.
        DataError: a file is missing or is no JSON, a problem lacks a key or its right choice, or
            the hub folder lacks a column or a split.
    """
    folder = raw / "data" / "scienceqa" if (raw / "data" / "scienceqa").is_dir() else raw
    hub = not (folder / "problems.json").exists() and is_hub(raw)
    problems = _hub_problems(raw, params) if hub else _problems(folder, params)
    for problem in problems:
        for task in params.tasks:
            ask = _vqa if task == "vqa" else _captioning
            question, answer = ask(problem, params)
            yield Item(
                id=f"{problem.id}-{task}",
                split=problem.split,
                task=task,
                picture=problem.picture,
                image=problem.image,
                question=question,
                answer=answer,
                fields={name: str(key_of(problem.record, name, problem.where)) for name in FIELDS},
            )


def _problems(folder: Path, params: Params) -> Iterator[_Problem]:
    path = folder / "problems.json"
    problems = read_json(path, "ScienceQA's problems")
    if not isinstance(problems, dict):
        raise DataError(f"{path} holds no problems by their id; download ScienceQA again.")
    captions = _captions(folder) if "captioning" in params.tasks else {}
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            for key, record in problems.items():
                where = f"Problem {key} of {path}"
                file = key_of(record, "image", where)
                if key_of(record, "split", where) != name or not file:
                    continue
                yield _Problem(
                    id=key,
                    split=split,
                    record=record,
                    where=where,
                    picture=folder / "images" / name / key / str(file),
                    image=f"scienceqa/{name}/{key}/{file}",
                    caption=str(captions.get(key, "")).strip(),
                )


def _captions(folder: Path) -> Mapping[str, Any]:
    """The captions beside the problems, or one folder above, where the repository has them."""
    path = folder / "captions.json"
    above = folder.parent / "captions.json"
    path = above if above.exists() and not path.exists() else path
    captions = key_of(read_json(path, "ScienceQA's captions"), "captions", str(path))
    if not isinstance(captions, dict):
        raise DataError(f"{path} holds no captions by their problem; download ScienceQA again.")
    return captions


def _hub_problems(raw: Path, params: Params) -> Iterator[_Problem]:
    if "captioning" in params.tasks:
        raise ConfigError(
            f"tasks={params.tasks} of the source scienceqa needs captions, which {raw} has not; "
            "set tasks to [vqa], or take ScienceQA's own files."
        )
    pictures = HubPictures(raw)
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            for hub_split, number, row in hub_rows(raw, COLUMNS, [SPLITS[name]]):
                if row["image"] is None:
                    continue
                where = f"Row {number} of the split {hub_split} in {raw}"
                picture, image = pictures.take(row["image"], where)
                key = f"{name}-{number}"
                yield _Problem(key, split, row, where, picture, f"scienceqa/{image}", "")


def _captioning(problem: _Problem, params: Params) -> tuple[str, str]:
    answer = params.caption_answer.replace("{caption}", problem.caption)
    return params.caption_question, answer if problem.caption else ""


def _vqa(problem: _Problem, params: Params) -> tuple[str, str]:
    question, choices, answer, hint = (
        key_of(problem.record, key, problem.where)
        for key in ("question", "choices", "answer", "hint")
    )
    if not isinstance(choices, list) or not 0 < len(choices) <= len(ascii_uppercase):
        raise DataError(
            f"{problem.where} has no list of choices ({choices!r:.60}); download it again."
        )
    if not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise DataError(
            f"{problem.where} has the answer {answer!r}, which is no number of one of its "
            f"{len(choices)} choices; download it again."
        )
    lettered = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False)]
    form = params.vqa_question.partition("{question}")
    before, after = form[0], form[2]  # apart, for a question may hold "{choices}" itself
    listed = "\n".join(lettered)
    wording = before.replace("{choices}", listed) + question + after.replace("{choices}", listed)
    context = params.vqa_context.replace("{hint}", hint) if hint else ""
    return context + wording, params.vqa_answer.replace("{letter}", ascii_uppercase[answer])
