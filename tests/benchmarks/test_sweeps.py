"""A named sweep, run by the program itself in small: each connector learns from its own start."""

import pytest

from benchmarks.sweeps import run_sweep
from fedvlm_flwr.report.sweep import label, read_sweep, varying
from fedvlm_flwr.run_folder import METRICS, RunFolder
from tests.test_experiments_page import swept

SMALL = (
    "experiment=connectors_by_dataset",
    "engine=inprocess",
    "tuning=f_c",
    "num_rounds=1",
    "num_clients=1",
    "train.local_steps=1",
    "dataset.tasks=[vqa]",
    "dataset.train_pictures=2",
    "dataset.test_pictures=1",
    "eval.bootstrap=1",
)


@pytest.mark.slow
def test_a_sweep_over_connectors(tmp_path):
    folder = run_sweep(tmp_path, [*SMALL, "seed=3"])
    assert folder.name.startswith("connectors_by_dataset-")
    runs = read_sweep(folder).runs
    assert varying(runs) == ["model.connector"]
    names = [label((("model.connector", str(run.keys["model.connector"])),)) for run in runs]
    assert names == [f"model.connector={c}" for c in swept(SMALL[0][11:])["model.connector"]]
    assert {(run.keys["seed"], run.keys["model.connector_seed"]) for run in runs} == {(3, 3)}
    losses = {
        line["value"]
        for run in runs
        for line in RunFolder(folder / run.name).lines(METRICS)
        if (line["where"], line["metric"]) == ("server", "loss")
    }
    assert len(losses) == len(runs) == 3
