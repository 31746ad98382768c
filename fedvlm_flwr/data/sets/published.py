"""A dataset in the published layout of FedVLMBench, downloaded or made by `fedvlm prepare`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.checked import Checked, checked
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.layout import (
    TEST,
    TRAIN,
    Raw,
    files_of,
    picture_path,
    read_records,
)
from fedvlm_flwr.data.limits import CUT, Limits
from fedvlm_flwr.data.making_settings import Making
from fedvlm_flwr.data.records import Records, Row
from fedvlm_flwr.data.scored import Scored
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.paths import fedvlm_home
from fedvlm_flwr.settings import TOKENS, setting
from fedvlm_flwr.tasks import task_names


@dataclass(frozen=True, kw_only=True)
class Params(Limits, Scored):
    """Where the files are, and what records do not say themselves."""

    title: str = field(metadata=setting(name=True))
    """The dataset's name, for messages and cache folders."""
    root: str | None = field(metadata=setting(path=True))
    """The folder; null: `data/<title>` in the cache folder, where `fedvlm prepare` puts it."""
    variant: str | None = field(metadata=setting(name=True))
    """Which of several assignments to clients, a folder below `clients/` (iid, non_iid); null:
    there is one."""
    task: str | None
    """The task of records that name none; null: see `file_tasks`."""
    file_tasks: dict[str, str]
    """The task of records that name none by their file: its name without `.json`."""
    tasks: list[str] | None
    """Keep the records of these tasks only; null: all."""
    box_decimals: int = field(metadata=setting(least=1, most=6))
    """Decimals of the boxes that a model is taught to write; scores are of the exact ones."""
    answer_tokens: int | None = field(metadata=setting(least=1, most=TOKENS))
    """Tokens after which an answer is ended when a model is scored (`eval.max_new_tokens`); null:
    the length that 99.5 % of the right answers do not exceed."""
    making: Making | None
    """How `fedvlm prepare` makes it from its sources; null: it does not."""

    @property
    def folder(self) -> Path:
        """The folder of the dataset."""
        if self.root is None:
            return fedvlm_home() / "data" / self.title
        return Path(self.root).expanduser().resolve()


def load(params: Params) -> FederatedData:
    """Read the tables, after reading and checking all files once.

    Raises:
        DataError: the folder or its files cannot be used, or more records are bad than may be.
    """
    return examine(params).within(
        params.allow_errors, params.box_decimals, cut_answers=params.long_answers == CUT
    )


def examine(params: Params) -> Checked:
    """The good records, and what is wrong with the others.

    Raises:
        DataError: the folder or its files cannot be used.
    """
    if not params.folder.is_dir():
        raise DataError(
            f"There is no dataset folder {params.folder}; set dataset.root, or make one with "
            f"`fedvlm prepare dataset={params.title} raw=<folder of the sources> out=<folder>`."
        )
    keys = ("variant", "task", "file_tasks", "tasks", "shared_pictures", "max_pixels")
    choices = {key: getattr(params, key) for key in keys}
    reader = _Reader(params)
    return checked(params.title, params.folder, reader.files, reader.read, choices)


class _Reader:
    def __init__(self, params: Params) -> None:
        self._params = params
        self._root = params.folder
        self._train, self._test = (
            files_of(params.folder, params.variant, split) for split in (TRAIN, TEST)
        )

    @property
    def files(self) -> list[Path]:
        """All that are read."""
        return [*self._train.all, *self._test.all]

    def read(self) -> Records:
        """All records of the tasks that are wanted: the clients' training records, the test set.

        Raises:
            DataError: files are missing or malformed, or a record's task is not to be known.
        """
        aside = [*self._train.aside, *self._test.aside]
        return Records(
            [*self._train_rows(), *self._test_rows()],
            notes=[f"{self._name(path)} is left aside for the files beside it" for path in aside],
        )

    def _train_rows(self) -> Iterator[Row]:
        clients = self._train.clients
        files = list(clients.values()) or self._train.pooled
        numbers = {path: number for number, path in clients.items()}
        self._require(files, TRAIN)
        for path in files:
            of_client = {"client": str(numbers[path])} if path in numbers else {}
            for record in self._records(path):
                yield self._row(path, TRAIN, {**record, **of_client})

    def _test_rows(self) -> Iterator[Row]:
        """The pooled test files, each record with its client where the clients' files tell it."""
        clients = self._test.clients
        self._require(self._test.all, TEST)
        owner = {
            _key(record): str(number)
            for number, path in clients.items()
            for record in self._records(path)
        }
        for path in self._test.pooled or clients.values():
            for record in self._records(path):
                of_client = {"client": owner.get(_key(record), "")} if owner else {}
                yield self._row(path, TEST, {**record, **of_client})

    def _row(self, path: Path, split: str, record: Raw) -> Row:
        count = len(record["conversations"]) // 2
        problem = (
            f"its conversation has {count} questions; a record of this layout is one question "
            "(dataset=folder reads conversations)"
        )
        return Row(self._name(path), split, record, problem if count > 1 else "")

    def _records(self, path: Path) -> Iterator[Raw]:
        tasks = self._params.tasks
        for i, record in enumerate(read_records(path)):
            task = record.get("task") or self._task_of(path)
            if tasks is not None and task not in tasks:
                continue
            fields = {
                key: str(value)
                for key, value in record.items()
                if isinstance(value, str | int | float)
            }
            yield {
                **fields,
                "id": str(record.get("id", f"{self._name(path)}-{i}")),
                "image": picture_path(self._root, str(record.get("image", ""))),
                "conversations": _turns(record["conversations"]),
                "task": str(task),
            }

    def _task_of(self, path: Path) -> str:
        named = self._params.file_tasks.get(path.stem)
        if named is not None:
            return named
        words = [word for word in re.split(r"[^a-z]+", path.stem.lower()) if len(word) > 2]
        names = {name for name in task_names() for word in words if name.startswith(word)}
        if len(names) == 1:  # vqa.json, caption_test.json
            return names.pop()
        if self._params.task is not None:
            return self._params.task
        raise DataError(
            f"The records of {path} name no task; say which it is with "
            f"`+dataset.file_tasks.{path.stem}=<task>` (one of: {', '.join(task_names())})."
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _require(self, files: Sequence[Path], split: str) -> None:
        if not files:
            raise DataError(
                f"{self._root} holds no {split} records (clients/{split}/client_<i>.json or "
                f"central_training/{split}/*.json); set dataset.root to a dataset's folder."
            )


def _turns(turns: Any) -> list[dict[str, str]]:
    """A conversation in the table's form; what is none stays for the check to find."""
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return []
    return [{key: str(turn.get(key, "")) for key in ("from", "value")} for turn in turns]


def _key(record: Raw) -> tuple[str, str, str]:
    """What tells a test record in one file from those in another."""
    return record["image"], record["task"], "\0".join(t["value"] for t in record["conversations"])
