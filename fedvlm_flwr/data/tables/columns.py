"""Which column of a table is what: by its usual names, or as the configuration says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvlm_flwr.data.foreign import MOST_FIELDS
from fedvlm_flwr.data.formats import read_table
from fedvlm_flwr.data.formats.base import Table
from fedvlm_flwr.data.tables.values import is_missing
from fedvlm_flwr.errors import DataError

# By what they hold; of several in one table the first is taken.
USUAL: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "images", "image_path", "img", "img_path", "file_name", "filename"),
    "question": ("question", "query", "prompt", "instruction"),
    "answer": ("answer", "answers", "response", "output", "label", "caption", "text", "report"),
    "conversations": ("conversations", "conversation", "messages"),
    "task": ("task",),
    "split": ("split",),
    "id": ("id", "question_id", "qid", "index", "__key__"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one table, None where it has none.

    Attributes:
        conversations: holds questions and answers; `question` and `answer` are None then.
    """

    image: str | None
    question: str | None
    answer: str | None
    conversations: str | None
    task: str | None
    split: str | None
    id: str | None

    @property
    def by_content(self) -> dict[str, str]:
        """Those that are there by what they hold; any other column of the table is a field."""
        return {key: name for key in USUAL if (name := getattr(self, key)) is not None}


def columns_in(
    path: Path, table: Table, own_names: Mapping[str, str | None], fixed_question: bool
) -> Columns:
    """The columns of a file's table, see `columns_of`.

    A column of conversations that is empty in all rows gives way to questions and answers; to see
    that the file is read once more.
    """
    columns = columns_of(str(path), table.columns, own_names, fixed_question)
    talk = columns.conversations
    if talk is None or own_names.get("conversations") is not None:
        return columns
    if any(not is_missing(row.get(talk)) for row in read_table(path).rows):
        return columns
    others = [name for name in table.columns if name != talk]
    try:
        return columns_of(str(path), others, own_names, fixed_question)
    except DataError:  # there are no others: each of its conversations is named as bad
        return columns


def columns_of(
    table: str, names: Sequence[str], own_names: Mapping[str, str | None], fixed_question: bool
) -> Columns:
    """Recognise the columns of a table.

    Args:
        table: its file, for messages.
        names: of its columns.
        own_names: names by what they hold, as the configuration says; None: a usual one.
        fixed_question: whether all rows ask one question, so that no column is needed.

    Raises:
        DataError: a column that is needed, or was named, is not there; there are none at all, or
            too many.
    """
    if not names:
        raise DataError(f"{table} is empty; fill it, or leave it out with dataset.files=[...].")
    if len(names) > MOST_FIELDS:
        raise DataError(
            f"{table} has {len(names)} columns, more than the {MOST_FIELDS} that a table may have; "
            "keep those that are asked about or that a partition goes by."
        )
    lower = {name.strip().lower(): name for name in reversed(names)}
    result: dict[str, str | None] = {}
    for key, usual in USUAL.items():
        name = own_names.get(key)
        if name is not None and name not in names:
            raise DataError(
                f"{table} has no column '{name}' (it has: {_listed(names)}); change "
                f"dataset.columns.{key}."
            )
        result[key] = name or next((lower[one] for one in usual if one in lower), None)
    plain = own_names.get("question") or own_names.get("answer")
    talks = result["conversations"] is not None and not plain
    if talks:
        result |= {"question": None, "answer": None}
    else:
        result["conversations"] = None
    question = [] if fixed_question else ["question"]
    # A conversation may hold its picture.
    for key in () if talks else ("image", *question, "answer"):
        if result[key] is None:
            raise DataError(
                f"{table} has no column of a usual name for the {key} (it has: {_listed(names)}); "
                f"name it with dataset.columns.{key}=<name>, or leave the file out with "
                "dataset.files=[<the tables>]."
            )
    return Columns(**result)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
