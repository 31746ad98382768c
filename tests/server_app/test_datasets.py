"""Every dataset's miniature: raw sources, converter, check, partition, two rounds, scores."""

import importlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.contracts import IsMade
from fedvlm_flwr.data.federated import IMAGE_MARK
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.data.making_settings import Making
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.run_folder import METRICS, PREDICTIONS, PROGRESS, RunFolder
from fedvlm_flwr.tasks import load_task
from tests import choices
from tests.conftest import Start
from tests.layout import organs, write

CONF = Path(__file__).parents[2] / "conf"
SETS: Mapping[str, Making] = {
    path.stem: params.making
    for path in sorted((CONF / "dataset").glob("*.yaml"))
    if isinstance(params := compose({"overrides": f"dataset={path.stem}"}).dataset.params, IsMade)
    and params.making is not None
}
# How a set is dealt to clients, where it is not as its files say.
ASSIGNED: Mapping[str, Sequence[str]] = {
    "fed_sciencecap": ["partition=natural", "partition.by=topic"],
    "fed_radgenome": ["partition=iid"],
    "fed_nature": ["partition=task", "num_clients=4"],
}
CLIENTS = 3  # at most, where several values of a field may be one client's
RUN = (
    "train.local_steps=1",
    "eval.max_new_tokens=3",
    "eval.shuffled=false",
    "dataset.allow_unknown_words=true",  # most are none of easy-VQA's
)


def clients_of(name: str) -> int:
    """How many clients a set's miniature has: as many as the set, or fewer."""
    making = SETS[name]
    return min(making.clients, CLIENTS) if making.clients else making.published["clients"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a dataset, made from its miniature sources once."""
    root = tmp_path_factory.mktemp("sets")

    def make(name: str) -> Path:
        out = root / name
        if not out.exists():
            for source, facts in SETS[name].sources.items():
                builder = importlib.import_module(f"tests.miniatures.{source}")
                builder.build(root / f"raw-{name}" / facts.folder)
            raw = f"raw={root / f'raw-{name}'}"
            fewer = [f"dataset.making.clients={clients_of(name)}"] if SETS[name].clients else []
            assert main(["prepare", f"dataset={name}", raw, f"out={out}", *fewer]) == 0
        return out

    return make


@pytest.mark.parametrize("model", ["tiny_llava", "tiny_showo"])
@pytest.mark.parametrize("name", SETS)
def test_from_raw_sources_to_scores(
    name: str,
    model: str,
    made: Callable[[str], Path],
    start: Start,
    request: pytest.FixtureRequest,
) -> None:
    chosen = ["tuning=f_l", "model=tiny_showo"] if "showo" in model else []
    tasks = sorted(set(SETS[name].published) - {"clients"})
    split = ASSIGNED.get(name, ["partition=published", f"num_clients={clients_of(name)}"])
    where = f"dataset.root={made(name)}"
    folder = start(f"dataset={name}", where, *RUN, *split, *chosen)
    lines = [line for line in folder.lines(METRICS) if line["where"] == "server"]
    for task in tasks:
        metric = load_task(task).HEADLINE
        scored = [li["round"] for li in lines if (li["task"], li["metric"]) == (task, metric)]
        assert scored == [0, 1, 2]
    assert [li["value"] for li in lines if li["metric"] == "failures"] == [0, 0]
    counted = json.loads((made(name) / "counts.json").read_text())["records"]
    tested = sum(row["records"] for row in counted if row["split"] == "test")
    assert len(list(folder.lines(PREDICTIONS))) == tested
    words, *cut = _warnings(folder)
    assert re.match(rf"{model} has no token for [0-9]+% of the words", words)
    assert all("are longer than the 3 tokens" in warning for warning in cut)


def test_every_dataset_is_here() -> None:
    assert set(SETS) >= {path.stem for path in (CONF / "dataset").glob("fed_*.yaml")}
    assert set(SETS) >= set(ASSIGNED)


def test_bad_records_are_refused_or_left_out_and_counted(tmp_path: Path, start: Start) -> None:
    root = organs(tmp_path)
    (root / "image" / "slake" / "01.png").write_bytes(b"broken")
    words = ("dataset=fed_slake", f"dataset.root={root}", *RUN, "num_rounds=1")
    with pytest.raises(DataError, match=r"1 of the 9 records .*dataset\.allow_errors=1"):
        start(*words)
    lines = list(start(*words, "dataset.allow_errors=1").lines(METRICS))
    assert [li["value"] for li in lines if li["metric"] == "records_left_out"] == [1]
    trained = [li["value"] for li in lines if li["metric"] == "num_examples"]
    assert sum(trained) == 5


def test_a_model_without_words_for_the_answers_is_not_trained(tmp_path: Path, start: Start) -> None:
    words = ("dataset=fed_slake", f"dataset.root={organs(tmp_path)}", *RUN[:3], "num_rounds=1")
    why = r"no token for [0-9]+% .*most often: .*Lung.*dataset\.allow_unknown_words=true"
    with pytest.raises(ConfigError, match=why):
        start(*words)


@pytest.mark.parametrize("form", ["folder", "published"])
def test_the_same_records_from_files_give_the_same_run(
    form: str, start: Start, tmp_path: Path
) -> None:
    """easy-VQA written as files, in either form, is trained on and scored as easy-VQA is."""
    counts = {"train_pictures": 24, "test_pictures": 12}  # as in the smoke experiment
    data = load_data(choices.dataset("easyvqa", {**counts, "tasks": ["vqa", "detection"]}))
    records = {split: list(getattr(data, split)) for split in ("train", "test")}
    for record in (*records["train"], *records["test"]):
        place = tmp_path / record["image"]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data.root / record["image"], place)
    if form == "published":
        write(tmp_path / "clients/train/client_0.json", records["train"])
        write(tmp_path / "central_training/test/test.json", records["test"])
    else:
        for split, members in records.items():
            lines = [json.dumps(_as_row(record)) for record in members]
            (tmp_path / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words = {"folder": "dataset=folder", "published": "dataset=fed_slake"}
    run = ("train.local_steps=2", "eval.shuffled=false", "eval.max_new_tokens=16")
    read = start(words[form], f"dataset.root={tmp_path}", *RUN[:2], *run)
    shipped = start("dataset.tasks=[vqa,detection]", *run)
    assert _told(read) == _told(shipped)
    assert list(read.lines(PREDICTIONS)) == list(shipped.lines(PREDICTIONS))
    assert _warnings(read) == []


def _as_row(record: Mapping[str, Any]) -> dict[str, Any]:
    question, answer = (turn["value"] for turn in record["conversations"])
    plain = {key: value for key, value in record.items() if key != "conversations"}
    return {**plain, "question": question.removeprefix(IMAGE_MARK), "answer": answer}


def _warnings(folder: RunFolder) -> list[str]:
    return [line["message"] for line in folder.lines(PROGRESS) if line["event"] == "warning"]


def _told(folder: RunFolder) -> list[Any]:
    """Losses and scores; seconds differ from run to run."""
    return [line for line in folder.lines(METRICS) if line["metric"] != "seconds"]
