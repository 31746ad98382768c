"""The rows of a user's tables as records, each with its split."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path, PurePosixPath
from typing import Any

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.data.formats import read_table
from fedvlm_flwr.data.formats.base import Values
from fedvlm_flwr.data.formats.webdataset import KEY
from fedvlm_flwr.data.records import FURTHER, REFERENCES, Records, Row, several
from fedvlm_flwr.data.tables.columns import Columns, columns_in
from fedvlm_flwr.data.tables.inside import Pictures
from fedvlm_flwr.data.tables.meaning import Meaning
from fedvlm_flwr.data.tables.places import shown_in, with_places
from fedvlm_flwr.data.tables.splits import split_of_file, split_of_word
from fedvlm_flwr.data.tables.turns import Talk, talk_of
from fedvlm_flwr.data.tables.values import (
    field_text,
    is_missing,
    is_written_out,
    references_of,
    taught,
    text_of,
)
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import task_names

WAYS = {
    "first": "the first question is taken",
    "last": "the last question is taken, the others stand before it",
    "all": "each question is a record, with those before it",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the answers that count as right, and the questions and answers before it.

    Texts have the marks of pictures as their file has them.
    """

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
        texts = (repr((row.pictures, row.record["conversations"])) for row in rows)
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
        images: list[str] = []
        questions, problem = [Question("", [""])], ""
        try:
            if columns.conversations is not None:
                talk = talk_of(_of(values, columns.conversations))
                questions, inside, marks = self._turns(talk), talk.pictures, talk.marks
            else:
                questions, inside = [self._columns(values, columns)], []
                marks = questions[0].text.count(PLACE)
            images = self._pictures.take(_of(values, columns.image) or inside, path)
            self._count(images)
            shares = shown_in([[*_questions(one)] for one in questions], images, marks)
        except DataError as error:
            questions, problem = questions[:1], str(error)
            shares = [images]
        same = {**fields, "task": str(task)}
        records = [
            {**same, **self._record(question, own)}
            for question, own in zip(questions, shares, strict=True)
        ]
        return records, problem

    def _count(self, images: Sequence[str]) -> None:
        if not images:
            self._notes["rows show no picture"] += 1
        elif len(images) > 1:
            self._notes["rows show several pictures"] += 1

    def _record(self, question: Question, images: Sequence[str]) -> dict[str, Any]:
        """The pictures and turns of a record, each picture's mark at its place."""
        answer = taught(question.references, self._meaning.answers, self._draw)
        asking = with_places([*_questions(question)], len(images))
        answers = [*(text for _, text in question.history), answer]
        texts = [text for pair in zip(asking, answers, strict=True) for text in pair]
        turns = [
            {"from": speaker, "value": text}
            for speaker, text in zip(cycle(("human", "gpt")), texts, strict=False)
        ]
        first, further = (images[0], [*images[1:]]) if images else ("", [])
        same = {"image": first, FURTHER: further, "conversations": turns}
        return {**same, REFERENCES: question.references}

    def _columns(self, values: Values, columns: Columns) -> Question:
        question = (
            self._meaning.question
            if columns.question is None
            else text_of(values.get(columns.question), "question")
        )
        assert question is not None  # `columns_of` has asked for one of them
        references = references_of(_of(values, columns.answer))
        if len(references) > 1:
            self._notes["records with several answers"] += 1
        return Question(question, references)

    def _turns(self, talk: Talk) -> list[Question]:
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
        return questions[selection]

    def _id(self, value: Any, otherwise: str) -> str:
        """The record's id; one that came before gets a number."""
        name = field_text(value) or otherwise
        self._ids[name] += 1
        if self._ids[name] == 1:
            return name
        self._notes["repeated ids, numbered"] += 1
        return self._id(f"{name}-{self._ids[name]}", otherwise)


def _questions(question: Question) -> Iterator[str]:
    """The questions before one, and that one."""
    yield from (text for text, _ in question.history)
    yield question.text


def _of(values: Mapping[str, Any], name: str | None) -> Any:
    return None if name is None else values.get(name)
