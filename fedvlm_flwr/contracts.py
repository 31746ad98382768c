"""What a module that is found by its name must offer, kind by kind; checked when it is loaded.

The modules are found by `fedvlm_flwr.plugins`. Those with a `Params` are imported whenever a
configuration is composed, so that they bring in torch, transformers, peft and datasets inside
functions only (a model's `Params` has a module of its own, `params`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from fedvlm_flwr.config import Engine, Scalar

# The rooms above fill in their own types, so that a contract imports none of them.
P_contra = TypeVar("P_contra", contravariant=True)  # a choice's parameters
Model_co = TypeVar("Model_co", covariant=True)
Model_contra = TypeVar("Model_contra", contravariant=True)
Network_co = TypeVar("Network_co", covariant=True)
Tables_co = TypeVar("Tables_co", covariant=True)
Report_co = TypeVar("Report_co", covariant=True)
Recipe_co = TypeVar("Recipe_co", covariant=True)
Table_co = TypeVar("Table_co", covariant=True)
Entry_co = TypeVar("Entry_co", covariant=True)
App_contra = TypeVar("App_contra", contravariant=True)
Experiment_contra = TypeVar("Experiment_contra", contravariant=True)
Section_co = TypeVar("Section_co", covariant=True)
Grid_contra = TypeVar("Grid_contra", contravariant=True)
Folder_contra = TypeVar("Folder_contra", contravariant=True)
Callback_co = TypeVar("Callback_co", covariant=True)

# Called with the steps done, the steps in all and the last loss.
Progress = Callable[[int, int, float], None]


class ModelKind(Protocol[P_contra, Model_co, Network_co]):
    """`fedvlm_flwr/models/<kind>/kind.py`; beside it `params.py` has `Params`, a `Loading`."""

    def load(self, name: str, params: P_contra, device: torch.device, /) -> Model_co:
        """The model in evaluation mode on the device, nothing of it trainable yet.

        Raises:
            ModelError: it is not prepared, is corrupt or unreadable.
        """

    def prepare(
        self, name: str, params: P_contra, progress: Progress | None = None, /
    ) -> Path | None:
        """Make the model's files, where they are made here and are not there; their folder."""

    def folder(self, name: str, params: P_contra, /) -> Path | None:
        """Where the files are that `prepare` has made; None where it has not, or makes none.

        Raises:
            ModelError: they are damaged.
        """

    def pictures(self, params: P_contra, /) -> range:
        """How many pictures an example may show, told without loading the model.

        Raises:
            ModelError: the files that tell it cannot be read.
        """

    def parts(self, params: P_contra, /) -> Mapping[str, str]:
        """The module path of each part, told without loading the model."""

    def skeleton(self, params: P_contra, /) -> Network_co:
        """The network on torch's meta device."""


class PlainForm(Protocol[Model_contra]):
    """`fedvlm_flwr/models/<kind>/plain.py`, of a kind that transformers alone can compute."""

    def reason_against(self, model: Model_contra, /) -> str:
        """Why it cannot compute this one, to stand in a sentence; empty: it can."""

    def save(self, model: Model_contra, folder: Path, /) -> None:
        """Write network, processor and prompt into an empty folder for transformers' own readers.

        Raises:
            ModelError: what transformers reads back asks or sees otherwise.
        """


class DatasetKind(Protocol[P_contra, Tables_co]):
    """`fedvlm_flwr/data/sets/<kind>.py`."""

    Params: type[Any]

    def load(self, params: P_contra, /) -> Tables_co:
        """The dataset's tables.

        Raises:
            DataError: its files cannot be used.
        """


@runtime_checkable
class Examines(Protocol[P_contra, Report_co]):
    """A dataset that can tell everything that is wrong with it."""

    def examine(self, params: P_contra, /) -> Report_co:
        """The good records, and what is wrong with the others."""


class TableFormat(Protocol[Table_co]):
    """`fedvlm_flwr/data/formats/<name>.py`: how a file holds the rows of a table."""

    ENDINGS: tuple[str, ...]
    """The endings of its files, in lower case."""

    def read(self, path: Path, /) -> Table_co:
        """The table of a file.

        Raises:
            DataError: it cannot be read; names the file.
        """


@runtime_checkable
class HasFolder(Protocol):
    """The `Params` of a dataset whose files lie in a folder."""

    @property
    def folder(self) -> Path:
        """Where its files are, or will be."""


@runtime_checkable
class TeachesBoxes(Protocol):
    """The `Params` of a dataset whose boxes are rounded for the model."""

    @property
    def box_decimals(self) -> int:
        """Decimals of the boxes that a model is taught to write."""


@runtime_checkable
class IsMade(Protocol[Recipe_co]):
    """The `Params` of a dataset that may be made from public sources."""

    @property
    def making(self) -> Recipe_co | None:
        """How; None: it is not."""


@runtime_checkable
class SplitsByPicture(Protocol):
    """The `Params` of a source that can be split by picture, whatever its files say."""

    @property
    def split(self) -> str:
        """`published` or `picture`."""


class PartitionKind(Protocol[P_contra]):
    """`fedvlm_flwr/data/partitions/<kind>.py`."""

    Params: type[Any]

    def partition(
        self, table: Dataset, num_clients: int, seed: int, params: P_contra, /
    ) -> list[list[int]]:
        """Row indices of the training table for each client, each sorted.

        Raises:
            ConfigError: the table cannot satisfy the numbers.
        """


@runtime_checkable
class GoesBy(Protocol):
    """The `Params` of a partition by a field of the records; test records go by it too."""

    @property
    def by(self) -> str:
        """The field's name."""


@runtime_checkable
class Owning(Protocol):
    """A partition that knows whose the test records are."""

    def owners(self, train: Dataset, test: Dataset, /) -> list[int | None]:
        """For each row of the test table its client; None: the files do not say."""


class Task(Protocol):
    """`fedvlm_flwr/tasks/<task>.py`: from a model's answers to their scores.

    `score` and `each` read the first 10,000 characters of a text, take any answer in bounded time,
    and raise DataError on empty or unequally long input.

    Attributes:
        HEADLINE: the key of `score` that tables show.
        BOXES_IN: which texts of an example hold boxes, of "question" and "answer".
    """

    HEADLINE: str
    BOXES_IN: frozenset[str]

    def score(self, predictions: Sequence[str], references: Sequence[str], /) -> dict[str, float]:
        """All metrics over the examples."""

    def each(
        self, predictions: Sequence[str], references: Sequence[str], /
    ) -> dict[str, list[float]]:
        """One value an example for the metrics that are means over them, `HEADLINE` among them."""

    def majority(self, references: Sequence[str], /) -> str:
        """The constant answer of a model that sees nothing."""


class Convention(Protocol):
    """`fedvlm_flwr/tasks/conventions/<name>.py`: a paper's scores, beside those of the task.

    `score` and `each` keep what `Task` says of its own.

    Attributes:
        TASKS: the tasks whose answers it scores.
    """

    TASKS: frozenset[str]

    def score(
        self, task: str, predictions: Sequence[str], references: Sequence[str], /
    ) -> dict[str, float]:
        """All metrics of a task over the examples; one that concerns none of them is left out."""

    def each(
        self, task: str, predictions: Sequence[str], references: Sequence[str], /
    ) -> dict[str, list[float]]:
        """One value an example for the metrics that are means over all of them."""


class SourceKind(Protocol[P_contra, Entry_co]):
    """`fedvlm_flwr/data/sources/<source>.py`: the public files that a dataset is made from."""

    Params: type[Any]

    def read(self, raw: Path, params: P_contra, /) -> Iterator[Entry_co]:
        """The items of the source's folder, as it is after download.

        A generator that leaves out some returns their counts, by reason: a `Counter[str]`.

        Raises:
            DataError: it is not the folder that it should be.
        """


class EngineKind(Protocol[App_contra]):
    """`fedvlm_flwr/engines/<name>.py`.

    Attributes:
        SEPARATE_PROCESSES: whether clients run in other processes than the server.
        OUTLIVES_COMMAND: whether a run goes on when the command that started it is ended.
    """

    SEPARATE_PROCESSES: bool
    OUTLIVES_COMMAND: bool

    def run(
        self,
        app: App_contra,
        run_config: Mapping[str, Scalar],
        engine: Engine,
        num_clients: int,
        log_file: Path,
        /,
    ) -> None:
        """Run an app; returns when the run has succeeded.

        Raises:
            RunError: it has not.
        """


class PageSection(Protocol[Experiment_contra, Section_co]):
    """`fedvlm_flwr/report/sections/<section>.py`: a part of a report's page.

    Attributes:
        ORDER: its place among the others.
        GROWS: whether it is shown of a run that goes on: it asks for nothing but the run's folder.
    """

    ORDER: int
    GROWS: bool

    def section(self, experiment: Experiment_contra, /) -> Section_co | None:
        """What it shows; None: nothing."""


class TableForm(Protocol[Grid_contra]):
    """`fedvlm_flwr/report/tables/<form>.py`: a form in which tables of a report are written.

    Attributes:
        ENDING: of its files.
    """

    ENDING: str

    def write(self, table: Grid_contra, /) -> str:
        """The file's text."""


class TrackerKind(Protocol[Folder_contra, Callback_co]):
    """`server_app/callbacks/trackers/<name>.py`: what a run's numbers are written to as well."""

    def tracker(self, folder: Folder_contra, settings: Mapping[str, Any], /) -> Callback_co:
        """The callback of a run, its package imported here and not before.

        Args:
            settings: the leaves of the run's configuration.

        Raises:
            ConfigError: the package is not installed.
        """


class Command(Protocol):
    """`fedvlm_flwr/cli/<command>.py`; the first line of its docstring is its summary."""

    def main(self, arguments: list[str], /) -> int:
        """Run the command; its exit status."""
