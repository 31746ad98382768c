"""Runs from within Python: what `fedvlm run` does, and what came of it as objects.

from fedvlm_flwr import run, load_run

result = run("algorithm=scaffold", "num_rounds=3", engine="inprocess")
result.metrics          # a pandas table, one number a row
result.plot()           # scores over rounds
load_run(result.path)   # the same, later
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.cli.base import client_model
from fedvlm_flwr.cli.run import run_words
from fedvlm_flwr.config import Config
from fedvlm_flwr.config.compose import quoted
from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.process import Process, this_process
from fedvlm_flwr.report.curve import curve_figure
from fedvlm_flwr.report.table import headlines, result_table, server_values
from fedvlm_flwr.run_folder import ADAPTER, METRICS, PREDICTIONS
from fedvlm_flwr.takehome.answering import Question, answer
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import RunModel, load_run_model

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def run(*overrides: str, **values: Any) -> "Result":
    """Run a federation, as `fedvlm run` does with the same words, and wait for its end.

    Args:
        overrides: `key=value` as on the command line, e.g. "train.lr=3e-4".
        values: keys without a dot, e.g. `engine="inprocess"`, `num_rounds=3`, `seed=1`.

    Raises:
        FedVLMError: the configuration is wrong, or the run failed; one sentence.
    """
    return load_run(run_words([*overrides, *(_word(k, v) for k, v in values.items())]).path)


def load_run(path: str | Path) -> "Result":
    """What a finished run came to.

    Raises:
        RunError: the folder holds no run, one that is not finished, or a damaged one.
    """
    return Result(FinishedRun.open(path))


class Result:
    """A finished run: its numbers, its answers, its model."""

    def __init__(self, finished: FinishedRun) -> None:
        self._run = finished
        self._models: dict[tuple[int | None, str | None], RunModel] = {}

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._run.folder.path

    @property
    def adapter(self) -> Path:
        """The folder of what was trained and shared, as a PEFT adapter."""
        return self.path / ADAPTER

    @property
    def config(self) -> Config:
        """What the run was started with."""
        return self._run.config

    @cached_property
    def metrics(self) -> "pd.DataFrame":
        """One number a row: round, where it is from (server, client:0), task, metric, value."""
        return self._table(METRICS)

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """One test question a row, with its reference, its answer and what each metric gives."""
        return self._table(PREDICTIONS)

    @cached_property
    def scores(self) -> "pd.DataFrame":
        """The headline scores: a row for each round that was scored, a column for each task."""
        values = server_values(self._run.folder)
        heads = headlines(self._run.folder, values)
        rounds = sorted({number for number, task, _ in values if task in heads})
        rows = {n: {t: values.get((n, t, m)) for t, m in heads.items()} for n in rounds}
        return _frame(list(rows.values()), index=list(rows)).rename_axis("round")

    def images(self, record: str) -> tuple[Path, ...]:
        """The pictures of a test question.

        Args:
            record: its `id` in `predictions`.

        Raises:
            RunError: the test set has no such question.
            FedVLMError: the data is not at hand.
        """
        data = this_process().tables(self.config)
        for example in examples(data.test, data.root):
            if example.id == record:
                return example.images
        raise RunError(f"The test set of {self.path} has no question {record!r}.")

    @property
    def cost(self) -> dict[str, Any]:
        """Seconds, bytes, memory and model loads."""
        return self._run.folder.cost()

    def model(self, client: int | None = None, device: str | None = None) -> RunModel:
        """The resident model with the run's result in it; loaded once.

        Args:
            client: whose own model is wanted, where clients have some; None: everybody's.
            device: cpu or cuda; None: as the run had it.

        Raises:
            RunError: there is no such model, or the base is another one than it was trained on.
        """
        key = client, device
        if key not in self._models:
            # Nothing of pictures that are shown here stays on the disk.
            engine = replace(self.config.engine, features_on_disk=False)
            own = replace(self._run, config=replace(self.config, engine=engine))
            self._models[key] = load_run_model(own, Process(), device, client_model(own, client))
        return self._models[key]

    def answer(self, image: str | Path, question: str, client: int | None = None) -> str:
        """What the run's model says to a question about a picture.

        Raises:
            FedVLMError: the model or the picture cannot be used.
        """
        (row,) = answer(self.model(client), [Question((Path(image),), question)], None)
        return str(row["prediction"])

    def plot(self) -> "Figure":
        """Each task's score over the rounds, with what needs no picture as lines."""
        return curve_figure(self._run.folder)

    def report(self) -> Path:
        """Write the run's page, see `fedvlm report`; its path."""
        from fedvlm_flwr.cli.report import main

        if main([str(self.path)]):
            raise ConfigError(f"The report of {self.path} could not be written.")
        return self.path / "report" / "report.html"

    def _table(self, name: str) -> "pd.DataFrame":
        return _frame(list(self._run.folder.lines(name)))

    def __repr__(self) -> str:
        """The table that the run has printed at its end."""
        return f"{result_table(self._run.folder)}\nrun folder: {self.path}"


def _frame(rows: list[dict[str, Any]], **more: Any) -> "pd.DataFrame":
    import pandas as pd  # a run needs none

    return pd.DataFrame(rows, **more)


def _word(key: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"{key}={'null' if value is None else str(value).lower()}"
    if isinstance(value, list | tuple):
        return f"{key}=[{','.join(map(str, value))}]"
    text = str(value)
    return f"{key}={quoted(text)}" if isinstance(value, Path) else f"{key}={text}"
