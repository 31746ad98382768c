"""The page on FedVLMBench's findings, from run folders made by hand."""

import itertools
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from benchmarks import findings, sweeps
from benchmarks.contrasts import Arm, Contrast, Difference, tally
from benchmarks.finding_tables import tables
from fedvlm_flwr.paths import conf_dir
from fedvlm_flwr.report.sweep import read_sweep
from fedvlm_flwr.sweeps.place import sweep_name
from tests.fedvlm_flwr.report.folders import line, write_run

PARTS = {"vqa": "accuracy", "captioning": "cider", "classification": "accuracy", "detection": "iou"}
CONNECTORS = ("linear", "mlp2x_gelu", "mlp6x_gelu")
GROUPS = ("tuning", "partition", "algorithm")
# Small differences over the seeds that cancel out; the same for both arms of a comparison.
WAVE = {"0": 0.01, "1": -0.01, "2": 0.0}


def score(task: str, own: dict[str, str]) -> float:
    """Text tasks gain 0.1 from the adapter, others lose it; vision tasks halve under skewed."""
    text = task in ("vqa", "captioning")
    value = 0.5 + WAVE[own["seed"]] * (2 if own.get("tuning") == "f_cl" else 1)
    if own.get("tuning") == "f_l":
        value += 0.1 if text else -0.1
    if own.get("model.connector") == "linear":
        value -= 0.2
    if own.get("partition") == "skewed" and not text:
        value /= 2
    return value


class Program:
    """In the place of `fedvlm run`: writes what a sweep leaves behind; runs nothing twice."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.written = 0
        self.code = 0

    def run(self, command: list[str], check: bool) -> SimpleNamespace:
        assert command[1:3] == ["run", "-m"] and not check
        words, output = command[3:-1], command[-1].removeprefix("output_dir=")
        self.commands.append(words)
        (name,) = (word.partition("=")[2] for word in words if word.startswith("experiment="))
        tree = OmegaConf.load(conf_dir() / "experiment" / f"{name}.yaml")
        lists = dict(OmegaConf.select(tree, "hydra.sweeper.params"))
        lists |= {k: v for k, _, v in (word.partition("=") for word in words) if k in lists}
        values = [str(each).split(",") for each in lists.values()]
        for number, own in enumerate(itertools.product(*values)):
            folder = Path(output, sweep_name(words), f"{number:03d}")
            if not folder.exists():
                self.write(folder, dict(zip(lists, own, strict=True)))
        return SimpleNamespace(returncode=self.code)

    def write(self, folder: Path, own: dict[str, str]) -> None:
        self.written += 1
        more = [line(1, "server", t, m, score(t, own)) for t, m in PARTS.items()]
        more += [
            line(1, "server", t, f"local_{m}_mean", 0.25 if own.get("algorithm") == "local" else 1)
            for t, m in PARTS.items()
        ]
        groups = {key: own[key] for key in GROUPS if key in own}
        model = {"name": "tiny_llava", "kind": "llava", "connector": own.get("model.connector")}
        rounds = {"seed": int(own["seed"]), "num_rounds": 1, "model": model}
        write_run(folder, [0.1, score("vqa", own)], more, **rounds, **groups)


@pytest.fixture
def program(monkeypatch) -> Program:
    program = Program()
    monkeypatch.setattr(sweeps, "subprocess", program)
    return program


@pytest.fixture
def told(program, tmp_path, monkeypatch, capsys):
    """Call the script with words; its page, which is the file's too."""

    def call(*words: str) -> str:
        out = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", ["findings.py", "--out", str(out), *words])
        findings.main()
        text = (out / "findings.md").read_text(encoding="utf-8")
        assert capsys.readouterr().out == f"{text}\n"
        return text

    return call


def part(text: str, title: str) -> str:
    """A finding's table with its caption."""
    parts = re.split(r"^## ", text.replace("\\", ""), flags=re.M)
    (own,) = (each for each in parts if each.startswith(title))
    return own


def test_each_finding_has_its_table_and_words(told, program):
    text = told("--seeds", "0", "1", "2")
    assert (len(program.commands), program.written) == (3, 18 + 36 + 18)
    assert "over 3 seeds" in text and "no less than p = 0.25" in text
    layers = part(text, "Two layers against one and six: tiny_llava on easyvqa, clients: 2")
    rows = [line.split(" | ")[0] for line in layers.splitlines() if line.startswith("| ")]
    assert rows[2:8] == [f"| {c}, {t}" for t in ("f_c", "f_cl") for c in CONNECTORS]
    # 0.5 and 0.3, each by itself as far from seed to seed as the wave: the difference is 0.2
    assert "| linear, f_c | 0.300 ± 0.010 |" in layers
    assert "| mlp2x_gelu less linear, f_c | **+0.200 ± 0.000, p < 0.001** |" in layers
    assert "| mlp2x_gelu less mlp6x_gelu, f_c | +0.000 ± 0.000, p = 1.000 |" in layers
    assert "less linear 8 higher, 0 lower, 0 within the seeds' spread, of 8;" in layers
    assert "less mlp6x_gelu 0 higher, 0 lower, 8 within the seeds' spread, of 8." in layers
    together = part(text, "F-CL against F-2stage")
    # f_cl has twice the wave: the differences are the wave itself, with mean 0
    assert "| f_cl less f_2stage, iid | +0.000 ± 0.010, p = 1.000 |" in together
    assert "0 higher, 0 lower, 12 within the seeds' spread, of 12." in together
    alone = part(text, "Federated against")
    assert "| fedavg less central, iid | +0.000 ± 0.000, p = 1.000 |" in alone
    assert "| fedavg less local on own shares, task | **+0.750 ± 0.000, p < 0.001** |" in alone
    assert "fedavg less local 0 higher, 0 lower, 8 within" in alone


def test_text_tasks_and_vision_tasks_are_told_apart(told):
    text = told("--seeds", "0", "1", "2")
    adapter = part(text, "The LLM's adapter")
    assert "f_l less f_c on text tasks (captioning, vqa) 6 higher, 0 lower" in adapter
    assert "on vision tasks (classification, detection) 0 higher, 6 lower" in adapter
    apart = part(text, "Clients that differ against clients alike, by task: ")
    assert "skewed less iid on vision tasks (classification, detection) 0 higher, 2 lo" in apart
    relative = part(text, "Clients that differ against clients alike, by task, in per cent")
    lost, kept = "**-50.0 ± 0.0 %, p < 0.001**", "+0.0 ± 0.0 %, p = 1.000"
    assert f"| skewed less iid, f_cl | {lost} | {kept} | {lost} |" in relative
    assert f"| task less iid, f_cl | {kept} | {kept} | {kept} |" in relative
    assert "(lower: vision tasks lose more): 0 higher, 1 lower, 1 within" in relative


def test_the_same_command_goes_on_and_another_is_another_sweep(told, program):
    told("--seeds", "0")
    count = program.written
    told("--seeds", "0")
    assert program.written == count == 6 + 12 + 6
    text = told("--seeds", "0", "1", "tuning=f_c,f_l")  # nothing of the first is in it
    assert "It takes 3 seeds at least." in text and "p = 0." not in text and "**" not in text
    assert "mlp2x_gelu less linear too few seeds to say; " in text.replace("\\", "")
    assert "Here there are no runs to compare." in part(text, "F-CL against")


def test_a_failed_run_ends_it_and_says_how_to_go_on(told, program):
    program.code = 1
    with pytest.raises(SystemExit, match=r"connectors_by_dataset.* the same command goes on"):
        told("--seeds", "0")


def test_runs_that_nothing_tells_apart_are_not_averaged(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, [0.1, 0.5], model={"name": "m", "connector": "linear"})
        write_run(tmp_path / f"{name}2", [0.1, 0.5], model={"name": "m", "connector": "mlp2x_gelu"})
    with pytest.raises(SystemExit, match="Several runs of mlp2x_gelu, f_cl have one seed"):
        list(tables(findings.FINDINGS[0], read_sweep(tmp_path).runs))


def test_other_budgets_are_told_before_the_numbers(tmp_path):
    for name, steps in (("linear", 10), ("mlp2x_gelu", 20)):
        model = {"name": "m", "connector": name}
        write_run(tmp_path / name, [0.1, 0.5], steps=steps, model=model, num_rounds=1)
    (table,) = tables(findings.FINDINGS[0], read_sweep(tmp_path).runs)
    told = "Unequal budgets: mlp2x_gelu less linear, f_cl: 40 and 20 optimizer steps."
    assert table.warnings == [told]


def test_verdicts_by_hand():
    clear = Difference([0.3, 0.4, 0.5], [0.1, 0.2, 0.3])
    noisy = Difference([0.3, 0.1, 0.5], [0.1, 0.3, 0.3])
    few = Difference([0.3, 0.4], [0.1, 0.2])
    assert [d.verdict for d in (clear, noisy, few)] == ["higher", "within the seeds' spread", None]
    assert Difference(clear.theirs, clear.ours).verdict == "lower"
    assert tally([clear, noisy, few, Difference([], [])]) == (
        "1 higher, 0 lower, 1 within the seeds' spread, 1 of too few seeds to say, of 3"
    )
    assert (tally([few]), tally([])) == ("too few seeds to say", "nothing to compare")
    assert Difference.between({"0": 1, "1": 2}, {"1": 0.5, "2": 0}).cell().text == "+1.500"


def test_of_a_score_that_is_0_nothing_is_a_part():
    runs = (SimpleNamespace(last={("vqa", "accuracy"): value}) for value in (0.5, 0.0))
    contrast = Contrast(("a", "b"), "c", *(Arm("", {"0": run}) for run in runs))
    assert contrast.relative([("vqa", "accuracy")]).ours == []


@pytest.mark.parametrize("words", [["--out"], ["--seeds", "x"], ["word"], ["--seed", "1", "x"]])
def test_what_is_none_of_its_options_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        sweeps.Options.read(words, "", "out")
    assert "error" in capsys.readouterr().err
