"""The rows of a user's tables as records, each with its split."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path, PurePosixPath
from typing import Any

from fedvlm_flwr.data.federated import IMAGE_MARK
from fedvlm_flwr.data.formats import read_table
from fedvlm_flwr.data.formats.base import Values
from fedvlm_flwr.data.formats.webdataset import KEY
from fedvlm_flwr.data.layout import TEST, TRAIN
from fedvlm_flwr.data.records import KEYS, REFERENCES, UNIT, Records, Row, several
from fedvlm_flwr.data.tables.columns import Columns, columns_in
from fedvlm_flwr.data.tables.inside import Pictures
from fedvlm_flwr.data.tables.meaning import Meaning
from fedvlm_flwr.data.tables.splits import split_of_file, split_of_word
from fedvlm_flwr.data.tables.turns import MARK, talk_of, unmarked
from fedvlm_flwr.data.tables.values import (
    field_text,
    is_missing,
    is_written_out,
    references_of,
    taught,
    text_of,
)
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import task_names

PEOPLE = re.compile(r"(patient|subject|study|mrn)(id|instanceuid|uid|no|nr|number)?")
WAYS = {
    "first": "the first question is taken",
    "last": "the last question is taken, the others stand before it",
    "all": "each question is a record, with those before it",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the answers that count as right, and the questions and answers before it."""

    text: str
    references: list[str]
    history: Sequence[tuple[str, str]] = ()


class Reader:
    """Reads the tables of one folder."""

    def __init__(self, root: Path, pictures: Pictures, meaning: Meaning) -> None:
        self._root = root
        self._pictures = pictures
        self._meaning = meaning
        self._draw = stream(meaning.split_seed, "one of several answers")
        self._notes: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()

    def read(self, paths: Sequence[Path]) -> Records:
        """All rows of all tables; their split is empty where nothing tells it.

        Raises:
            DataError: a table cannot be read, lacks a column, names an unknown split or no task.
        """
        rows: list[Row] = []
        columns = {}
        for path in paths:
            table = read_table(path)
            name = path.relative_to(self._root).as_posix()
            fixed = self._meaning.question is not None
            own = columns_in(path, table, self._meaning.columns, fixed)
            columns[name] = own.by_content
            before = len(rows)
            values = table.rows if table.typed else self._without_words(table.rows, own.answer)
            rows += self._rows(path, name, own, values)
            if len(rows) == before:
                raise DataError(
                    f"{path} holds no row; fill it, or leave it out with dataset.files=[...]."
                )
        texts = (repr((row.record["image"], row.record["conversations"])) for row in rows)
        twice = sum(number - 1 for number in Counter(texts).values())
        if twice:
            self._notes["records are the same as one before them"] += twice
        return Records(rows, columns, [*several(self._notes)])

    def _without_words(self, rows: Iterable[Values], column: str | None) -> Iterator[Values]:
        """The rows without answers that are words for a missing one."""
        for row in rows:
            if column is not None and is_written_out(row.get(column)):
                self._notes[
                    "answers are a word for none (NaN, N/A, null) and count as missing"
                ] += 1
                yield {**row, column: None}
            else:
                yield row

    def _rows(
        self, path: Path, name: str, columns: Columns, rows: Iterable[Values]
    ) -> Iterator[Row]:
        split = split_of_file(PurePosixPath(name), self._meaning.splits) or ""
        for number, values in enumerate(rows):
            where = f"Row {number + 1} of {path}"
            word = _of(values, columns.split)
            own = split
            if not is_missing(word):
                own = split_of_word(field_text(word) or "", self._meaning.splits, where)
            elif KEY in values:  # a file inside an archive
                place = PurePosixPath(name, str(values[KEY])).with_suffix(".in")
                own = split_of_file(place, self._meaning.splits) or ""
            records, problem = self._records(values, columns, path, where)
            title = self._id(_of(values, columns.id), f"{name}-{number}")
            for i, record in enumerate(records, 1):
                # Of several questions each is a record of its own.
                one = title if len(records) == 1 else self._id(f"{title}-turn-{i}", title)
                yield Row(name, own, {**record, "id": one}, problem)

    def _records(
        self, values: Values, columns: Columns, path: Path, where: str
    ) -> tuple[list[dict[str, Any]], str]:
        """The records of a row without their ids, and what is wrong with them."""
        special = set(columns.by_content.values())
        fields = {
            str(key): text
            for key, value in values.items()
            if key not in special and (text := field_text(value)) is not None
        }
        task = _of(values, columns.task) or self._meaning.task
        if task is None:
            raise DataError(
                f"{where} names no task; add a column 'task', or set dataset.task to one of: "
                f"{', '.join(task_names())}."
            )
        image, questions, problem = "", [Question("", [""])], ""
        try:
            if columns.conversations is not None:
                questions, inside = self._turns(_of(values, columns.conversations))
            else:
                questions, inside = self._columns(values, columns)
            image = self._pictures.take(_of(values, columns.image) or inside, path)
        except DataError as error:
            questions, problem = questions[:1], str(error)
        same = {**fields, "task": str(task), "image": image}
        return [{**same, **self._conversation(one)} for one in questions], problem

    def _conversation(self, question: Question) -> dict[str, Any]:
        """The turns of a record; the picture's mark stands in the first."""
        answer = taught(question.references, self._meaning.answers, self._draw)
        first, *texts = [text for turn in question.history for text in turn] + [
            question.text,
            answer,
        ]
        speakers = cycle(("human", "gpt"))
        turns = [
            {"from": speaker, "value": text}
            for speaker, text in zip(speakers, [f"{IMAGE_MARK}{first}", *texts], strict=False)
        ]
        return {"conversations": turns, REFERENCES: question.references}

    def _columns(self, values: Values, columns: Columns) -> tuple[list[Question], list[Any]]:
        question = (
            self._meaning.question
            if columns.question is None
            else text_of(values.get(columns.question), "question")
        )
        assert question is not None  # `columns_of` has asked for one of them
        if question.count(MARK) > 1:
            raise DataError(f"its question marks {question.count(MARK)} pictures; one is shown")
        references = references_of(_of(values, columns.answer))
        if len(references) > 1:
            self._notes["records with several answers"] += 1
        return [Question(unmarked(question), references)], []

    def _turns(self, value: Any) -> tuple[list[Question], list[Any]]:
        talk = talk_of(value)
        if talk.marks > 1:
            raise DataError(f"its conversation marks {talk.marks} pictures; one is shown")
        way = self._meaning.turns
        if len(talk.turns) > 1:
            if way == "one":
                raise DataError(
                    f"its conversation has {len(talk.turns)} questions; take all of them with "
                    "dataset.turns=all, the first with dataset.turns=first or the last with "
                    "dataset.turns=last"
                )
            self._notes[f"conversations of which {WAYS[way]}"] += 1
        if talk.system:
            self._notes["system turns left aside"] += 1
        questions = [
            Question(question, [answer], talk.turns[:i])
            for i, (question, answer) in enumerate(talk.turns)
        ]
        selection = {"all": slice(None), "last": slice(-1, None)}.get(way, slice(1))
        return questions[selection], talk.pictures

    def _id(self, value: Any, otherwise: str) -> str:
        """The record's id; one that came before gets a number."""
        name = field_text(value) or otherwise
        self._ids[name] += 1
        if self._ids[name] == 1:
            return name
        self._notes["repeated ids, numbered"] += 1
        return self._id(f"{name}-{self._ids[name]}", otherwise)


def with_splits(records: Records, root: Path, fraction: float, seed: int) -> Records:
    """The records with the test set drawn, where none of them is in it.

    It is drawn from those that are for training or of no split, by picture, or by what is kept
    together.

    Raises:
        DataError: some tell a split and others none; names a file of those.
    """
    rows = records.rows
    without = next((row.file for row in rows if not row.split), None)
    if without is not None and any(row.split for row in rows):
        raise DataError(
            f"{without} has records that tell no split, and other records of {root} do; name it "
            "train, validation or test, give every row a 'split', or leave it out with "
            "dataset.files=[<the tables>]."
        )
    if any(row.split == TEST for row in rows):
        return records
    units = [_unit(row) if row.split in ("", TRAIN) else "" for row in rows]
    names = sorted(set(units) - {""})
    test: set[str] = set()
    if names:
        count = max(1, round(fraction * len(names)))
        test = set(stream(seed, "test pictures").choice(names, count, replace=False).tolist())
    result = [
        replace(row, split=TEST if unit in test else row.split or TRAIN)
        for row, unit in zip(rows, units, strict=True)
    ]
    note = f"no file names a test set: {fraction:.0%} of the pictures are drawn for it"
    return replace(records, rows=result, notes=[*records.notes, note])


def grouped(records: Records, column: str) -> Records:
    """The records with those of one value of a column kept together; one without is bad.

    Raises:
        ConfigError: no file has the column.
    """
    if not any(column in row.record for row in records.rows):
        names = sorted({name for row in records.rows for name in row.record} - {REFERENCES, *KEYS})
        raise ConfigError(
            f"dataset.group_by={column} is no column of the tables; choose one of: "
            f"{', '.join(names)}."
        )
    rows = [
        replace(row, record={**row.record, UNIT: value})
        if (value := row.record.get(column, ""))
        else replace(row, problem=row.problem or f"it has no {column}, which keeps it together")
        for row in records.rows
    ]
    return replace(records, rows=rows)


def straddling(records: Records) -> Iterator[str]:
    """A note for each column that names patients or studies of both training and test records."""
    names = {name for row in records.rows for name in row.record}
    for column in sorted(n for n in names if PEOPLE.fullmatch(re.sub("[^a-z]", "", n.lower()))):
        values = {
            split: {row.record.get(column, "") for row in records.rows if row.split == split}
            for split in (TRAIN, TEST)
        }
        both = (values[TRAIN] & values[TEST]) - {""}
        if both:
            yield (
                f"{len(both):,} values of '{column}' stand in both the training and the test set; "
                f"keep each on one side with dataset.group_by={column}"
            )


def _unit(row: Row) -> str:
    return str(row.record.get(UNIT) or row.record["image"])


def _of(values: Mapping[str, Any], name: str | None) -> Any:
    return None if name is None else values.get(name)
