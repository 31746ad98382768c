"""COCO-QA: one-word answers, made from COCO's captions (Ren et al., 2015, arXiv 1505.02074).

    <raw>/train/questions.txt    a question a line
    <raw>/train/answers.txt      the answer on the same line, one word
    <raw>/train/img_ids.txt      the id of the COCO picture (2014)
    <raw>/train/types.txt        0 object, 1 number, 2 color, 3 location

and the same in `test`. Pictures come from a COCO tree of 2014 or 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedvlm_flwr.data.sources.base import Item, read_lines, require_form
from fedvlm_flwr.data.sources.coco import coco_pictures
from fedvlm_flwr.errors import DataError

KINDS = {"0": "object", "1": "number", "2": "color", "3": "location"}
FILES = ("questions", "answers", "img_ids", "types")


@dataclass(frozen=True)
class Params:
    """Which questions are taken, and where the pictures are."""

    pictures: str
    """The COCO tree, relative to the source's folder."""
    train_splits: list[str]
    """The source's own splits (train, test) whose questions are training records."""
    test_splits: list[str]
    """Those that are test records."""
    question: str
    """{question} stands for the question, without a question mark at its end."""
    answer: str
    """{answer} stands for the answer."""

    def __post_init__(self) -> None:
        require_form("question", self.question, "question")
        require_form("answer", self.answer, "answer")


def read(raw: Path, params: Params) -> Iterator[Item]:
    """The questions; their field is kind (object, number, color, location).

    Raises:
        DataError: a file or every picture folder is missing, the files of a split have not as many
            lines, or a line of the ids or the types is none of theirs.
    """
    pictures = coco_pictures(raw / params.pictures)
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            for i, (question, answer, image_id, kind) in enumerate(_lines(raw / name)):
                picture, image = pictures.find(image_id)
                yield Item(
                    id=f"{name}-{i}",
                    split=split,
                    task="vqa",
                    picture=picture,
                    image=image,
                    question=params.question.replace("{question}", question.rstrip(" ?")),
                    answer=params.answer.replace("{answer}", answer) if answer else "",
                    fields={"kind": kind},
                )


def _lines(folder: Path) -> Iterator[tuple[str, str, int, str]]:
    """Question, answer, picture and kind of each line of a split."""
    paths = [folder / f"{name}.txt" for name in FILES]
    files = [read_lines(path, "a file of COCO-QA") for path in paths]
    counts = [len(lines) for lines in files]
    if len(set(counts)) > 1:
        numbers = ", ".join(
            f"{path.name} {count}" for path, count in zip(paths, counts, strict=True)
        )
        raise DataError(
            f"The files of {folder} have not as many lines ({numbers}); download it again."
        )
    for i, line in enumerate(zip(*files, strict=True), start=1):
        question, answer, image_id, kind = (text.strip() for text in line)
        if not image_id.isdecimal():
            raise DataError(
                f"Line {i} of {paths[2]} is {image_id[:80]!r}, which is no id; download it again."
            )
        if kind not in KINDS:
            raise DataError(
                f"Line {i} of {paths[3]} is {kind[:80]!r}, which is none of 0, 1, 2 and 3; "
                "download it again."
            )
        yield question, answer, int(image_id), KINDS[kind]
