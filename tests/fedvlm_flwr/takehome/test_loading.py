"""The model of a finished run answers as the run did, or the reason is one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fedvlm_flwr.cli.base import client_model
from fedvlm_flwr.errors import ModelError, RunError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.process import Process, this_process
from fedvlm_flwr.run_folder import CHECKPOINT, METRICS, PREDICTIONS, RESULT, RunFolder
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import load_run_model
from tests.conftest import FINISHED

OWN = ("num_clients=2", "train.local_steps=4", "dataset.tasks=[vqa]")


def answers(folder: RunFolder) -> dict[str, str]:
    return {line["id"]: line["prediction"] for line in folder.lines(PREDICTIONS)}


def evaluator_of(run: FinishedRun, process: Process, client: int | None = None) -> Evaluator:
    model = load_run_model(run, process, client=client_model(run, client))
    return Evaluator(run.config, model.model, process, 1)


# Of FLoRA all that was learnt lies in the term beside the base.
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("algorithm=flora", "dataset.tasks=[vqa,classification]"),
        ("model.connector=linear", "dataset.tasks=[vqa,classification]"),
    ],
)
def test_it_answers_as_the_run_did(finished: RunFolder, start, more) -> None:
    folder = start(*FINISHED, *more) if more else finished
    result = evaluator_of(FinishedRun.open(folder.path), Process()).run(full=True)
    mine = {record["id"]: record["prediction"] for record in result.predictions}
    assert mine == answers(folder)
    assert len(set(mine.values())) > 3, "answers that never differ show nothing"


@pytest.mark.parametrize(("name", "part"), [("fedsa_lora", "lora_B"), ("local", "connector")])
def test_parts_of_clients_are_theirs(start, name: str, part: str) -> None:
    """Without them there is no model; with a client's it scores what the client has scored."""
    run = FinishedRun.open(start(*FINISHED, f"algorithm={name}", *OWN).path)
    with pytest.raises(RunError, match=rf"no model of all: .*{part}.*name one with --client K"):
        load_run_model(run, Process())
    process, lines = this_process(), list(run.folder.lines(METRICS))
    for client in (0, 1):
        scores = evaluator_of(run, process, client).run(full=True).scores
        own = {
            line["metric"]: line["value"]
            for line in lines
            if (line["round"], line["where"], line["task"]) == (1, f"client:{client}", "vqa")
        }
        assert scores["vqa"].items() <= own.items()
    shared = run.folder.path / "adapter"
    for file in shared.glob("*.safetensors"):
        file.unlink()
    if shared.is_dir():
        with pytest.raises(RunError, match=r"adapter lacks 'connector.*restore the folder"):
            load_run_model(run, process, client=client_model(run, 0))
    with pytest.raises(RunError, match=r"Client 7 has no part of its own .* \(.*: 0, 1\)"):
        client_model(run, 7)
    for path in (run.folder.path / "clients" / "client_1").iterdir():
        path.unlink()
    with pytest.raises(RunError, match="The parts of client 1 are not in"):
        client_model(run, 1)


def test_of_two_models_the_shared_one_and_a_clients_own_can_be_had(start) -> None:
    run = FinishedRun.open(start(*FINISHED, "algorithm=ditto", *OWN).path)
    process = Process()
    shared = load_run_model(run, process)
    own = load_run_model(run, process, client=client_model(run, 1))
    assert shared.arrays.keys() == own.arrays.keys() and own.client == 1
    assert any((own.arrays[name] != values).any() for name, values in shared.arrays.items())


def test_a_model_of_all_has_no_client(finished: RunFolder) -> None:
    run = FinishedRun.open(finished.path)
    with pytest.raises(RunError, match=r"Client 0 has no part of its own .*: none has\)"):
        client_model(run, 0)


def test_what_is_no_finished_run_is_refused(run_copy: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run; name the folder of a finished one"):
        FinishedRun.open(tmp_path)
    (run_copy.path / CHECKPOINT).unlink()
    with pytest.raises(RunError, match=r"is not finished; go on with it: fedvlm run resume="):
        FinishedRun.open(run_copy.path)
    (run_copy.path / RESULT).write_text("[")
    with pytest.raises(RunError, match="is not finished"):
        FinishedRun.open(run_copy.path)


def test_a_damaged_result_is_named(run_copy: RunFolder) -> None:
    (run_copy.path / RESULT).write_text("[")
    with pytest.raises(RunError, match=r"result.json cannot be read .*restore"):
        FinishedRun.open(run_copy.path)


def test_another_base_and_a_lost_adapter_are_refused(run_copy: RunFolder) -> None:
    path, process = run_copy.path / RESULT, Process()
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "base": "0" * 64}))
    with pytest.raises(RunError, match=r"not the one that the run .* was trained on .*0{12}"):
        load_run_model(FinishedRun.open(run_copy.path), process)
    path.write_text(json.dumps(facts))
    for file in (run_copy.path / "adapter").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(RunError, match=r"adapter lacks 'connector.*restore the folder"):
        load_run_model(FinishedRun.open(run_copy.path), process)


def test_a_base_that_is_gone_is_named(finished: RunFolder) -> None:
    run = FinishedRun.open(finished.path)
    params = replace(run.config.model.params, tiny=None, checkpoint="/weights/gone")
    moved = replace(run.config, model=replace(run.config.model, params=params))
    with pytest.raises(ModelError, match="There is no model folder /weights/gone"):
        load_run_model(replace(run, config=moved), Process())
