"""Runs from within Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fedvlm_flwr
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.run_folder import METRICS, PREDICTIONS

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = {"first_run": "scaffold", "own_data_and_algorithm": "stride"}  # of the last line


def test_a_run_gives_its_numbers_answers_and_model(finished):
    result = fedvlm_flwr.load_run(finished.path)
    lines = list(finished.lines(METRICS))
    assert list(result.metrics["value"]) == [line["value"] for line in lines]
    last = result.scores.iloc[-1]
    (vqa,) = [
        line["value"]
        for line in lines
        if (line["round"], line["where"], line["task"], line["metric"])
        == (1, "server", "vqa", "accuracy")
    ]
    assert last["vqa"] == vqa and list(result.scores.index) == [0, 1]
    assert len(result.predictions) == len(list(finished.lines(PREDICTIONS)))
    assert result.cost == finished.cost() and result.config.num_clients == 1
    assert (result.adapter / "adapter_model.safetensors").is_file()
    assert result.plot().get_axes()
    assert "vqa" in repr(result) and str(finished.path) in repr(result)


def test_its_model_answers_as_the_run_has(finished):
    result = fedvlm_flwr.load_run(finished.path)
    record = result.predictions.query("task == 'vqa'").iloc[0]
    (image,) = result.images(record["id"])
    assert result.answer(image, record["question"]) == record["prediction"]
    with pytest.raises(RunError, match="no question 'nobody'"):
        result.images("nobody")
    assert result.model() is result.model()
    tensors = result.model().arrays
    assert all(np.isfinite(values).all() for values in tensors.values())


def test_words_and_values_are_those_of_the_command_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FEDVLM_RUNS", str(tmp_path))
    values = {"num_rounds": 1, "num_clients": 2, "clients_per_round": None}
    result = fedvlm_flwr.run(
        "experiment=smoke",
        "eval.shuffled=false",
        "dataset.tasks=[vqa]",
        "dataset.test_pictures=2",
        engine="inprocess",
        run_name="it's mine",
        **values,
    )
    assert result.path == tmp_path / "it's mine"
    assert result.config.num_clients == 2 and list(result.scores.columns) == ["vqa"]
    capfd.readouterr()
    with pytest.raises(RunError, match=r"already"):
        fedvlm_flwr.run("experiment=smoke", engine="inprocess", run_name="it's mine")
    again = fedvlm_flwr.run(f"resume={result.path}")
    assert again.path == result.path


def test_what_is_wrong_is_an_exception_and_no_exit():
    with pytest.raises(ConfigError, match="nobody"):
        fedvlm_flwr.run("experiment=smoke", algorithm="nobody")
    with pytest.raises(ConfigError, match="no KEY=VALUE"):
        fedvlm_flwr.run("smoke")
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        _ = fedvlm_flwr.walk


def test_the_package_is_light_until_a_run_is_asked_for():
    program = "import sys, fedvlm_flwr; sys.exit('torch' in sys.modules or 'flwr' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_notebook_is_run():
    assert {path.stem for path in DOCS.glob("*.ipynb")} == set(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path):
    """Its cells one after the other, in a process of their own, each last value shown."""
    cells = json.loads((DOCS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    program = (
        "import ast, json, sys\n"
        "names = {}\n"
        "for text in json.loads(sys.argv[1]):\n"
        "    tree = ast.parse(text)\n"
        "    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None\n"
        "    exec(compile(tree, 'cell', 'exec'), names)\n"
        "    if last:\n"
        "        print(repr(eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert NOTEBOOKS[name] in done.stdout.splitlines()[-1]
    assert done.stdout.count("run folder: ") >= 2
