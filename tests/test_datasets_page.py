"""docs/datasets.md: its commands run, and the forms that it shows are read as it says."""

import importlib
import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import Idefics3Config

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.load import examine_data
from fedvlm_flwr.models import model_skeleton
from tests import choices, forms, layout
from tests.fedvlm_flwr.data.test_folder import params
from tests.hf_tiny import idefics_kind, words
from tests.layout import picture
from tests.test_readme import SHRUNK, commands

SMALL = tuple(word for word in SHRUNK if not word.startswith("dataset."))  # of any dataset

PAGE = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
OWN = PAGE.split("## Your own data")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(json|text)\n(.*?)```", OWN, flags=re.DOTALL)
TABLES = [block for form, block in BLOCKS if form == "json" or ".png,Which" in block]
LIST, LINES, CSV = ".json", ".jsonl", ".csv"
COMMANDS = [line for line in commands(PAGE) if line.startswith("fedvlm ")]
CHECK = next(line for line in COMMANDS if line.startswith("fedvlm prepare --check"))
PLANS = [line for line in COMMANDS if line.startswith("fedvlm plan")]


def ending_of(block: str) -> str:
    return LIST if block.startswith("[") else LINES if block.startswith("{") else CSV


def several(block: str, count: int) -> str:
    """A table with its rows so many times, each time on pictures of other names."""
    ending = ending_of(block)
    head, *rows = block.strip().splitlines() if ending == CSV else ("", block.strip())
    text = [re.sub(r"(\w+)\.png", rf"\1-{i}.png", row) for i in range(count) for row in rows]
    if ending == LIST:
        return json.dumps([row for one in text for row in json.loads(one)])
    return "\n".join([head, *text] if head else text)


def write(folder: Path, text: str) -> int:
    """Write a table and its pictures; the number of its rows."""
    ending = ending_of(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"data{ending}").write_text(text, encoding="utf-8")
    for i, name in enumerate(sorted(set(re.findall(r"[\w/-]+\.png", text)))):
        picture(folder / name, (i, 0, 0))
    if ending == LIST:
        return len(json.loads(text))
    return len(text.strip().splitlines()) - (ending == CSV)


def test_the_page_shows_tables() -> None:
    assert len(TABLES) >= 6


@pytest.mark.parametrize("block", TABLES)
def test_a_table_of_the_page_is_read_and_checked_by_the_command(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write(tmp_path / "one", block)
    questions = max(1, block.count('"human"'), block.count('"user"'))
    own = params(tmp_path / "one", task="vqa", turns="all")
    report = examine_data(choices.dataset("folder", own))
    assert (report.records, report.bad) == (rows * questions, 0), report.problems
    write(tmp_path / "my_data", several(block, 5))  # enough for a test set
    monkeypatch.chdir(tmp_path)
    more = ["dataset.turns=all"] if questions > 1 else []
    assert main([*shlex.split(CHECK)[1:], *more]) == 0


# -- the commands ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the raw sources, and a folder of one's own data, as the page has them."""
    home = tmp_path_factory.mktemp("world")
    for raw, name in {raw_of(line): dataset_of(line) for line in COMMANDS if raw_of(line)}.items():
        for source, facts in making_of(name).sources.items():
            miniature = importlib.import_module(f"tests.miniatures.{source}")
            miniature.build(home / raw / facts.folder)
    for name in ("Fed-SLAKE", "fed_slake"):
        layout.organs(home / name)
    (home / "my_data").mkdir()
    forms.pictures(home / "my_data")
    rows = [row | {"site": ("Leeds", "Bonn")[i % 2]} for i, row in enumerate(forms.flat())]
    forms.lines(home / "my_data" / "questions.jsonl", rows)
    forms.write("hub parquet", home / "hub")
    smolvlm(home / "smolvlm")
    return home


def raw_of(command: str) -> str:
    """Where a command has its sources, below the home."""
    return "".join(re.findall(r"raw=~/(\S+)", command))


def dataset_of(command: str) -> str:
    return re.findall(r"dataset=(\w+)", command)[0]


def making_of(name: str):
    return compose({"overrides": f"dataset={name}"}).dataset.params.making


def smolvlm(folder: Path) -> None:
    """SmolVLM-256M's sizes as published; of its tokenizer a stand-in with the same marks."""
    shutil.copytree(Path(__file__).parent / "smolvlm_256m", folder)
    kind = idefics_kind(Idefics3Config, "Idefics3")
    assert kind.template is not None
    marks = tuple(f"<row_{i}_col_{j}>" for i in range(1, 5) for j in range(1, 5))
    tokenizer = words(replace(kind, extra=(*kind.extra[:3], *marks)))
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(kind.template)
    config = json.loads((folder / "config.json").read_text())
    config["image_token_id"] = tokenizer.convert_tokens_to_ids("<image>")
    (folder / "config.json").write_text(json.dumps(config))


def stand_ins(command: str, here: dict[str, Path]) -> list[str]:
    """The words of a command: what is on the hub comes from here, and a run is a short one."""
    told = shlex.split(command)[1:]
    told = [f"{key}={here[key]}" if (key := word.split("=")[0]) in here else word for word in told]
    if raw_of(command) and (clients := making_of(dataset_of(command)).clients):
        told.append(f"dataset.making.clients={min(clients, 3)}")  # miniatures have so many
    if told[0] == "run":
        told += [*SMALL, "engine=inprocess", "output_dir=runs", "train.local_steps=1"]
        told += ["train.batch_size=2", "eval.max_new_tokens=2"]
        told += [] if "dataset=easyvqa" in told else ["dataset.allow_unknown_words=true"]
    return told


@pytest.mark.parametrize("command", [line for line in COMMANDS if line not in PLANS])
def test_a_command_of_the_page_runs(
    command: str,
    world: Path,
    small: list[str],
    hf_checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(world))
    monkeypatch.chdir(world)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", world / "hf")
    for out in re.findall(r"out=~/(\S+)", command):
        shutil.rmtree(world / out, ignore_errors=True)  # as if nothing had been made before
    here = {"dataset.hub": world / "hub"}
    if "model.checkpoint=" in command:
        here["model.checkpoint"] = hf_checkpoint("smolvlm")
    told = stand_ins(command, here)
    assert main(told) == 0
    last = {"run": "run folder: ", "data": "heat map: "}.get(told[0])
    assert last is None or any(
        line.startswith(last) for line in capsys.readouterr().out.splitlines()
    )


def test_the_smallest_real_model_is_planned_as_the_page_tells(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    """By its sizes alone: a folder without weights is enough."""
    (plan,) = PLANS
    here = {"model.checkpoint": world / "smolvlm"}
    assert main(stand_ins(plan, here)) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (block,) = re.findall(r"```text\n(training: adamw.*?)```", PAGE, re.DOTALL)
    assert [line for line in block.splitlines() if line not in lines] == []
    model = compose({"overrides": f"model=hf_vlm model.checkpoint={world / 'smolvlm'}"}).model
    sizes = (parameter.numel() for parameter in model_skeleton(model).module.parameters())
    assert sum(sizes) == 256_484_928
