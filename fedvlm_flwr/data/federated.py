"""What a dataset hands over: three tables of records, and the examples read from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from PIL import Image

from fedvlm_flwr.data.records import FURTHER, KEYS, REFERENCES, pictures_of, show_one
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.reading import MOST_PIXELS, open_image, opened

if TYPE_CHECKING:
    from datasets import Dataset

PLACE = "<image>"  # of a picture in a question
IMAGE_MARK = f"{PLACE}\n"
ANSWER_TYPE = "answer_type"  # a field of SLAKE's, VQA-RAD's and VQA's records
BOX_DECIMALS = 2  # of data that is made here
CLOSED = {"closed": True, "yes/no": True, "open": False, "number": False, "other": False}


@dataclass(frozen=True)
class FederatedData:
    """The tables of one dataset; a record is `{id, image, conversations, task, ...}`.

    `public()` is what belongs to nobody: it may pretrain a base model, and no run reads it. `train`
    is the pool that a partition deals to the clients, `test` is the server's global test set.
    Picture paths are relative to `root`. `left_out` counts the records that failed the check and
    are in none of the tables. `validation` is nobody's training data and no part of the final
    scores: settings may be chosen by it; None: the dataset has none. With `box_decimals` a model is
    taught to write numbers of boxes; scores are of the records' own. An image may have
    `max_pixels`. With `cut_answers` an answer that is too long for a model is cut where it is
    learnt.
    """

    name: str
    root: Path
    public: Callable[[], Dataset]
    train: Dataset
    test: Dataset
    left_out: int = 0
    validation: Dataset | None = None
    box_decimals: int = BOX_DECIMALS
    max_pixels: int = MOST_PIXELS
    cut_answers: bool = False

    @cached_property
    def shows_one(self) -> bool:
        """Whether every record shows one picture, as every model takes it."""
        tables = (self.train, self.test, self.validation)
        return all(show_one(table) for table in tables if table is not None)

    @cached_property
    def examples_read(self) -> dict[int, Example]:
        """Training examples by row, those that were read of late."""
        return {}

    def require(self, *splits: str) -> None:
        """Refuse tables without a record.

        Args:
            splits: training, test.

        Raises:
            DataError: names the dataset and the split.
        """
        tables = {"training": self.train, "test": self.test}
        for split in splits:
            if not len(tables[split]):
                raise DataError(
                    f"The dataset {self.name} has no good {split} record; see its files."
                )

    def scored_by_validation(self) -> FederatedData:
        """The same with the validation records as its test set.

        Raises:
            ConfigError: there are none.
        """
        if not self.validation:
            raise ConfigError(
                f"eval.split=validation but the dataset {self.name} has no validation records; "
                "set eval.split=test, or give it a file of that name."
            )
        return replace(self, test=self.validation)


@dataclass(frozen=True, slots=True)
class Example:
    """One question about its pictures, with its answer and the task that scores it.

    Attributes:
        images: in the order in which they are shown; mostly one, perhaps none.
        question: of several pictures each has its `PLACE` in it, or in a question before it; the
            place of one is before the first question, where nothing is written.
        others: further answers that count as right, each as often as people gave it.
        closed: whether the question is a closed one; None: its record does not say.
        box_decimals: with so many a model is taught to write numbers of boxes.
        history: earlier questions and their answers, which the model is shown.
        cut_answer: whether an answer that is too long for the model is cut, or refused.
    """

    id: str
    images: tuple[Path, ...]
    question: str
    answer: str
    task: str
    others: tuple[str, ...] = ()
    closed: bool | None = None
    box_decimals: int = BOX_DECIMALS
    history: tuple[tuple[str, str], ...] = ()
    cut_answer: bool = False

    @property
    def image(self) -> Path:
        """The only one of its images."""
        (only,) = self.images
        return only


def examples(
    table: Dataset,
    root: Path,
    indices: Sequence[int] | None = None,
    box_decimals: int = BOX_DECIMALS,
    *,
    cut_answers: bool = False,
) -> list[Example]:
    """Read records as examples, in the order of `indices` (all rows when None).

    Args:
        box_decimals, cut_answers: see `Example` and `FederatedData`.

    Raises:
        DataError: a column is missing, a record's conversation is not questions and answers in turn
            with a mark for each picture (of one at the beginning), or a picture lies outside
            `root`; names the record.
    """
    read = _as_read.get(table)
    if read is None:
        read = _as_read[table] = _columns_read(table)
    more = read.column_names[len(KEYS) :]
    columns = read[:] if indices is None else read[list(indices)]  # `select` names what it gives
    keys = [*KEYS, *more[: FURTHER in more]]
    rows = zip(*(columns[name] for name in keys), strict=True)
    facts: dict[str, Any] = {"box_decimals": box_decimals, "cut_answer": cut_answers}
    result = [read_example(root, *row, **facts) for row in rows]
    if REFERENCES in more:
        result = [
            replace(one, others=_without(one.answer, texts))
            for one, texts in zip(result, columns[REFERENCES], strict=True)
        ]
    if ANSWER_TYPE in more:
        result = [
            replace(one, closed=CLOSED.get(word.strip().lower()))
            for one, word in zip(result, columns[ANSWER_TYPE], strict=True)
        ]
    return result


def _columns_read(table: Dataset) -> Dataset:
    """The columns of records that examples are made of: `KEYS`, and those of more that are there.

    Raises:
        DataError: a column is missing; names it.
    """
    missing = [name for name in KEYS if name not in table.column_names]
    if missing:
        raise DataError(
            f"The table has no column '{missing[0]}' (its columns: "
            f"{', '.join(table.column_names)}); add it to the records."
        )
    more = [name for name in (FURTHER, REFERENCES, ANSWER_TYPE) if name in table.column_names]
    return table.select_columns([*KEYS, *more])


# A table of other columns is a millisecond's work, which every round of every client would do.
_as_read: WeakKeyDictionary[Dataset, Dataset] = WeakKeyDictionary()


def _without(answer: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The other answers: all but one of those that are this one."""
    plain = [text.strip() for text in texts]
    i = plain.index(answer) if answer in plain else len(texts)
    return (*texts[:i], *texts[i + 1 :])


def read_example(
    root: Path,
    name: str,
    image: str,
    turns: Any,
    task: str,
    further: Sequence[str] = (),
    **facts: Any,
) -> Example:
    """One record's example: its last question, with the turns before it as history.

    Args:
        facts: what else is known of it, by the names that `Example` has for it.

    Raises:
        DataError: see `examples`.
    """
    images = pictures_of(image, further)
    *history, (question, answer) = _pairs(name, turns, len(images))
    whole = []
    for one in images:
        path = _inside(root, one)
        if path is None:
            raise DataError(
                f"Record '{name}' names the picture '{PurePosixPath(one)}'; write its path "
                f"relative to {root}."
            )
        whole.append(path)
    return Example(name, tuple(whole), question, answer, task, history=tuple(history), **facts)


@lru_cache(maxsize=1 << 13)
def _inside(root: Path, picture: str) -> Path | None:
    """A picture's path; None: it is not below `root`."""
    path = PurePosixPath(picture)
    return None if path.is_absolute() or ".." in path.parts else root / path


def _pairs(name: str, turns: Any, pictures: int) -> list[tuple[str, str]]:
    """The questions of a record and their answers.

    Args:
        pictures: how many it shows.
    """
    speakers = [turn.get("from") for turn in turns or []]
    if not speakers or speakers != ["human", "gpt"] * (len(speakers) // 2):
        raise DataError(
            f"Record '{name}' has turns from {speakers}; a conversation is one turn from 'human' "
            "and then one from 'gpt', and so on."
        )
    texts = [turn.get("value") or "" for turn in turns]
    lead = IMAGE_MARK if pictures == 1 else ""
    marked = texts[0].startswith(lead)
    texts[0] = texts[0].removeprefix(lead)
    questions, answers = ([text.strip() for text in texts[i::2]] for i in range(2))
    marks = sum(text.count(PLACE) for text in questions)
    empty = [text for text in questions if not text.replace(PLACE, "").strip()]
    if not marked or empty or (pictures == 1 and marks):
        raise DataError(
            f"Record '{name}' asks {[turn.get('value') for turn in turns[::2]]!r:.120}; a question "
            "holds text: of one picture the first is '<image>', a line break and text, and a "
            "further one in its conversation is text."
        )
    if pictures not in (1, marks):
        raise DataError(
            f"Record '{name}' marks {marks} pictures in its questions and shows {pictures}; write "
            "'<image>' once for each of them."
        )
    if not all(answers):
        raise DataError(f"Record '{name}' has an empty answer; give it one or remove the record.")
    return list(zip(questions, answers, strict=True))


def check_pictures(records: Iterable[Example], max_pixels: int = MOST_PIXELS) -> None:
    """Open and decode each distinct picture of the examples once.

    A picture that was good stays known to the process until its size or time of change differs,
    so that a check before every round costs microseconds a picture.

    Raises:
        DataError: a picture is missing, unreadable or too large; names the record and the path.
    """
    first_record: dict[Path, str] = {}
    for example in records:
        for path in example.images:
            first_record.setdefault(path, example.id)
    for path, record in first_record.items():
        check_picture(path, record, max_pixels)


def check_picture(path: Path, record: str, max_pixels: int = MOST_PIXELS) -> None:
    """Open and decode a picture once, see `check_pictures`.

    Raises:
        DataError: it is missing, unreadable or too large; names the record and the path.
    """
    try:
        status = path.stat()
        _decode(path, max_pixels, status.st_size, status.st_mtime_ns)
    # Pillow reports broken pictures with SyntaxError and ValueError as well.
    except (DataError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        cause = error.__cause__ or error  # `open_image` has named the path
        raise DataError(
            f"The picture {path} of record '{record}' cannot be read ({cause}); "
            "restore the file or remove the record."
        ) from cause


@lru_cache(maxsize=1 << 17)
def _decode(path: Path, max_pixels: int, _size: int, _changed: int) -> None:
    with opened(path, max_pixels) as picture:
        picture.verify()  # checksums: a tail of zeros still decodes, to a picture of something else
    open_image(path)
