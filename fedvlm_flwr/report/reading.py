"""The runs of a folder, read for a report."""

from collections.abc import Sequence
from pathlib import Path

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.sweep import run_folders


def read_experiment(
    root: Path, metric_names: Sequence[str] = (), column_keys: Sequence[str] = ()
) -> Experiment:
    """The finished runs at or below a folder, and the names of the others.

    Raises:
        ConfigError: the runs do not differ in a key of columns.
        RunError: it holds no finished run; a file in it is damaged.
    """
    histories, unfinished = [], []
    for folder, name in run_folders(root):
        if folder.is_finished():
            histories.append(History.read(folder, name))
        else:
            unfinished.append(name)
    if not histories:
        raise RunError(f"{root} holds no finished run.")
    return Experiment(root, histories, unfinished, metric_names, column_keys)
