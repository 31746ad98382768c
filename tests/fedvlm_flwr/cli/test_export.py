"""What is exported is the run's model: its adapter, or merged for transformers alone."""

import re
from pathlib import Path

import pytest
import yaml

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose, to_yaml
from fedvlm_flwr.run_folder import PREDICTIONS, RunFolder
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.licences import licence_of
from tests.conftest import FINISHED, ROOT, global_test_set
from tests.fresh_process import answers_of

PROGRAM = ROOT / "tests" / "fedvlm_flwr" / "takehome" / "card_program.py"
ROWS = 5  # of each task


def job(folder: RunFolder, out: Path) -> dict:
    """A run's model merged, and the questions that a fresh process asks it."""
    assert main(["export", str(folder.path), "--merge", "--out", str(out)]) == 0
    run = FinishedRun.open(folder.path)
    told = {line["id"]: line["prediction"] for line in folder.lines(PREDICTIONS)}
    by_task = global_test_set(run.config)
    rows = [example for own in by_task.values() for example in own[:ROWS]]
    return {
        "folder": str(out),
        "limit": run.max_new_tokens,
        "rows": [{"question": e.question, "image": str(e.images[0])} for e in rows],
        "expected": [told[example.id] for example in rows],
    }


def test_a_fresh_process_without_this_package_gives_the_runs_answers(
    start, finished: RunFolder, of_a_family: RunFolder, tmp_path: Path
) -> None:
    """By the code of the model card, for the kind llava and a family of transformers.

    Of the first also where another connector has taken the place of its own.
    """
    jobs = [job(finished, tmp_path / "llava"), job(of_a_family, tmp_path / "family")]
    jobs.append(job(start(*FINISHED, "model.connector=linear"), tmp_path / "linear"))
    for answers, each in zip(answers_of(PROGRAM, jobs, tmp_path), jobs, strict=True):
        assert answers == each["expected"], each["folder"]
        assert len(set(each["expected"])) > 1, "answers that never differ show nothing"


def test_the_adapter_is_the_runs_own_with_a_card(
    finished: RunFolder, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "adapter"
    assert main(["export", str(finished.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"adapter: {out}\n"
    inside = {path.name: path.read_bytes() for path in out.iterdir()}
    text = inside.pop("README.md").decode()
    assert inside == {p.name: p.read_bytes() for p in (finished.path / "adapter").iterdir()}
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "apache-2.0"
    assert yaml.safe_load(head)["library_name"] == "peft"
    settings = finished.settings()
    for words in ("easyvqa", "partition: iid", "algorithm: fedavg", "rounds: 1", "seed: 0"):
        assert words in body
    assert re.search(
        r"\| vqa \| accuracy \| 0\.\d{3} \| 0\.\d{3} to \d\.\d{3} \| 0\.\d{3} \|", body
    )
    assert re.search(r"sent to clients: [\d.]+ kB", body)
    for private in (str(finished.path), settings["output_dir"], str(Path.home()), "test-0"):
        assert private not in text


def test_nothing_is_written_over(finished: RunFolder, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(finished.path), "--out", str(tmp_path)]) == 1
    assert "is there and not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_gguf_is_llama_cpps_own(finished: RunFolder, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["export", str(finished.path), "--out", str(out), "--gguf"]) == 1
    error = capsys.readouterr().err
    assert f"--merge, then run `python llama.cpp/convert_hf_to_gguf.py {out}`" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantize": "4bit"}, "model.quantize=4bit: the adapters were trained beside a rounded"),
        ({"kind": "showo"}, "cannot be merged: transformers has no class for this kind"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name_before_it_is_loaded(
    run_copy: RunFolder, tmp_path: Path, capsys, changes, words
) -> None:
    path = run_copy.path / run_copy.config
    tree = yaml.safe_load(path.read_text())
    if "kind" in changes:
        showo = compose({"overrides": "model=tiny_showo"})
        tree["model"] = yaml.safe_load(to_yaml(showo))["model"]
    tree["model"] |= changes
    path.write_text(yaml.safe_dump(tree))
    assert main(["export", str(run_copy.path), "--merge", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert words in error and "export it without --merge, as an adapter for its base." in error
    assert not (tmp_path / "out").exists()


def test_the_licence_is_what_the_card_of_the_base_says(tmp_path: Path) -> None:
    for text, expected in (
        ("---\nlicense: mit\n---\n# a", "mit"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"),
        ("# no head", "unknown"),
        ("---\nlicense: [\n---\n", "unknown"),
    ):
        (tmp_path / "README.md").write_text(text)
        assert licence_of(str(tmp_path)) == expected
    assert licence_of(str(tmp_path / "nowhere")) == "unknown"
    assert licence_of("nobody/has-this") == "unknown"
