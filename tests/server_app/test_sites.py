"""A federation of real sites, each with a folder of its own, in one process."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client_app.app import evaluate, query, train
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines import App, run_app
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from fedvlm_flwr.run_folder import METRICS, PREDICTIONS, PROGRESS, SITES, RunFolder
from server_app.saved import read_checkpoint
from tests.layout import picture
from tests.server_app.test_resume import same

RECORDS = {"north": 40, "south": 25, "east": 30}
FAULTS: dict[str, int] = {}

flawed = ClientApp()  # the real handlers, but for the faults
flawed.query()(query)
flawed.evaluate()(evaluate)


@flawed.train()
def train_or_fail(message: Message, context: Context) -> Message:
    if TrainRequest.unpack(message.content).round == FAULTS.get(str(context.node_config["site"])):
        raise RuntimeError("this site is down")
    return train(message, context)


RANKS = {"north": 2, "east": 4}
ranked = ClientApp()  # the real handlers, on sites that say their ranks
SHAPES: dict[tuple[str, int], tuple[int, ...]] = {}


def of_rank(context: Context) -> Context:
    site = str(context.node_config["site"])
    if site in RANKS:
        context.node_config["lora-rank"] = RANKS[site]
    return context


@ranked.query()
def introduce(message: Message, context: Context) -> Message:
    return query(message, of_rank(context))


@ranked.train()
def train_at_its_rank(message: Message, context: Context) -> Message:
    request = TrainRequest.unpack(message.content)
    name = "llm.layers.0.self_attn.q_proj.lora_A"
    SHAPES[request.site, request.round] = unpack(request.arrays)[name].shape
    return train(message, of_rank(context))


@ranked.evaluate()
def score_at_its_rank(message: Message, context: Context) -> Message:
    return evaluate(message, of_rank(context))


@pytest.fixture(scope="module", autouse=True)
def importable() -> None:
    sys.modules["sites_with_faults"] = sys.modules[__name__]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Three folders of questions about pictures of one colour."""
    root = tmp_path_factory.mktemp("sites")
    for name, count in RECORDS.items():
        rows = []
        for i in range(count):
            picture(root / name / f"{i}.png", (5 * i, len(name) * 20, 90 * (i % 3)), (32, 32))
            color = ("red", "green", "blue")[i % 3]
            rows.append(
                {"image": f"{i}.png", "question": "what color is the shape?", "answer": color}
            )
        text = "\n".join(json.dumps(row) for row in rows)
        (root / name / "questions.jsonl").write_text(text)
    return root


def run(small: list[str], folders: Path, place: Path, *more: str, client: str = "") -> RunFolder:
    sites = ", ".join(f"{name}: {folders / name}" for name in RECORDS)
    words = ["dataset=folder", "dataset.task=vqa", f"engine.sites={{{sites}}}", "eval.where=sites"]
    folder = RunFolder(place)
    run_config = {"overrides": shlex.join([*small, *words, *more])}
    if (place / "config.yaml").exists():
        run_config["resume"] = str(place)
    else:
        run_config |= {"output-dir": str(place.parent), "run-name": place.name}
        place.mkdir()
    config = compose(run_config)
    app = App("server_app.app:app", client or "client_app.app:app")
    run_app(app, run_config, config.engine, config.num_clients or 1, place / "engine.log")
    return folder


SCAFFOLD = ("num_clients=3", "algorithm=scaffold")


@pytest.fixture(scope="module")
def whole(small, folders, tmp_path_factory) -> RunFolder:
    return run(small, folders, tmp_path_factory.mktemp("runs") / "whole", *SCAFFOLD)


def values(folder: RunFolder) -> dict[tuple[int, str, str], float]:
    return {
        (x["round"], x["where"], x["metric"]): x["value"]
        for x in folder.lines(METRICS)
        if x["task"] in ("vqa", "train")
    }


def test_sites_are_numbered_by_name_and_train_on_all_that_they_have(whole) -> None:
    assert json.loads((whole.path / SITES).read_text()) == {"0": "east", "1": "north", "2": "south"}
    found = values(whole)
    examples = [found[1, f"client:{k}", "num_examples"] for k in range(3)]
    tests = [found[2, f"client:{k}", "full"] for k in range(3)]
    assert examples == [24, 32, 20] and tests == [1.0] * 3  # a fifth of the pictures is held out


def test_their_scores_are_told_by_site_and_over_all_their_records(whole) -> None:
    found = values(whole)
    own = [found[2, f"client:{k}", "accuracy"] for k in range(3)]
    assert found[2, "sites", "examples"] == 6 + 8 + 5
    expected = (6 * own[0] + 8 * own[1] + 5 * own[2]) / 19
    assert found[2, "sites", "accuracy"] == pytest.approx(expected)
    assert found[2, "sites", "local_accuracy_worst"] == min(own)
    assert found[2, "sites", "accuracy_low"] <= expected <= found[2, "sites", "accuracy_high"]
    assert (2, "server", "accuracy") not in found
    assert not (whole.path / PREDICTIONS).exists()


def test_the_server_says_whom_it_has_met_and_shows_their_names(whole) -> None:
    events = list(whole.lines(PROGRESS))
    (sites,) = [event["what"] for event in events if event["event"] == "sites"]
    assert sites.startswith("east: vqa 24 to train and 6 to score; north: ")
    assert {e["site"] for e in events if e["event"] == "reply"} == set(RECORDS)
    table = next(event for event in events if event["event"] == "end")["table"]
    assert "client worst" in table and "normal interval" in table


def test_each_keeps_its_state_in_a_folder_of_its_own(whole) -> None:
    states = sorted((whole.path / "clients").glob("*/*/client_*"))
    assert [state.parts[-3] for state in states] == ["east", "north", "south"]


def test_a_run_of_sites_goes_on_exactly(small, folders, tmp_path, whole) -> None:
    place = tmp_path / "run"
    FAULTS.update(dict.fromkeys(RECORDS, 2))
    with pytest.raises(RunError, match=r"Round 2 got 0 good replies.* site east: "):
        run(small, folders, place, *SCAFFOLD, client="sites_with_faults:flawed")
    FAULTS.clear()
    same(run(small, folders, place, *SCAFFOLD), whole)


def test_a_site_has_the_rank_that_it_says(small, folders, tmp_path) -> None:
    words = ("num_clients=3", "algorithm=flexlora", "eval.every=9", "train.local_steps=2")
    folder = run(small, folders, tmp_path / "run", *words, client="sites_with_faults:ranked")
    ranks = {site: rank for (site, _), (rank, _) in SHAPES.items()}
    assert ranks == {"south": 8, **RANKS} and len(SHAPES) == 6
    saved = read_checkpoint(folder)
    assert saved is not None
    assert saved.state.arrays["llm.layers.0.self_attn.q_proj.lora_A"].shape[0] == 8


def test_a_site_of_another_rank_is_refused_where_ranks_may_not_differ(
    small, folders, tmp_path
) -> None:
    """When it says who it is: one that came later would else end the run of all the others."""
    said = r"site '\w+' does not fit this run: it has lora-rank=[24], and algorithm=fedavg"
    with pytest.raises(RunError, match=said):
        run(small, folders, tmp_path / "run", "num_clients=3", client="sites_with_faults:ranked")


def test_an_open_federation_goes_on_without_a_site_that_fails(small, folders, tmp_path) -> None:
    FAULTS["north"] = 1
    place = tmp_path / "run"
    words = ("num_clients=null", "min_sites=2", "min_replies=2", "eval.every=9")
    folder = run(small, folders, place, *words, client="sites_with_faults:flawed")
    FAULTS.clear()
    found = values(folder)
    assert found[1, "server", "clients"] == 2 and found[2, "server", "clients"] == 3
    saved = read_checkpoint(folder)
    assert saved is not None
    assert saved.memory["Roster"]["names"] == ["east", "north", "south"]
    assert saved.memory["Roster"]["examples"].keys() == {"0", "1", "2"}  # who is away counts too


def test_a_server_with_a_test_set_and_no_training_records_scores_too(
    small, folders, tmp_path
) -> None:
    own = tmp_path / "server"
    for i in range(6):
        picture(own / f"{i}.png", (5 * i, 5, 90), (32, 32))
    rows = [{"image": f"{i}.png", "question": "what color?", "answer": "blue"} for i in range(6)]
    (own / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    folder = run(
        small,
        folders,
        tmp_path / "run",
        f"dataset.root={own}",
        "eval.where=both",
        "sites=[north, east]",
        "num_clients=2",
        "num_rounds=1",
        "tuning=f_c",
    )
    found = values(folder)
    assert (1, "server", "accuracy") in found and found[1, "sites", "examples"] == 14
    assert (1, "server", "control_shuffled_accuracy") in found
    assert (1, "server", "control_majority_accuracy") not in found  # it has nothing to count
    assert json.loads((folder.path / SITES).read_text()) == {"0": "east", "1": "north"}


def test_each_scores_the_model_that_it_has_of_its_own(small, folders, tmp_path) -> None:
    words = ("num_clients=3", "num_rounds=1", "tuning=share_lora", "eval.every=9")
    found = values(run(small, folders, tmp_path / "run", *words))
    assert found[1, "sites", "examples"] == 19
    assert found[1, "sites", "local_clients"] == 3


def test_a_site_of_few_records_takes_no_part(small, folders, tmp_path) -> None:
    with pytest.raises(RunError, match=r"fewer records than privacy\.min_examples"):
        run(small, folders, tmp_path / "run", "num_clients=3", "privacy.min_examples=21")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "dataset.labels=[Red, green, blue]",
            r"'east' does not fit this run: 30 of its records have a class that dataset\.labels",
        ),
        (
            "dataset.labels=null",
            r"'east' cannot take part: the model has no token for over",
        ),
    ],
)
def test_a_site_of_other_classes_or_words_ends_the_run_by_name_and_without_a_word(
    small, folders, tmp_path, words, sentence
) -> None:
    shutil.copytree(folders, tmp_path / "folders")
    table = tmp_path / "folders" / "east" / "questions.jsonl"
    other = re.sub("red|green|blue", "pneumothorax", table.read_text())
    table.write_text(other)
    allow = f"dataset.allow_unknown_words={'true' if 'Red' in words else 'false'}"
    own = ("dataset.task=classification", words, allow, *SCAFFOLD, "sites=[north, south, east]")
    with pytest.raises(RunError, match=sentence) as refusal:
        run(small, tmp_path / "folders", tmp_path / "run", *own)
    assert "pneumothorax" not in str(refusal.value)
    assert "pneumothorax" not in (tmp_path / "run" / PROGRESS).read_text()


def test_scores_over_few_records_are_not_told(small, folders, tmp_path) -> None:
    words = ("num_clients=3", "num_rounds=1", "privacy.min_examples=6", "eval.every=9")
    found = values(run(small, folders, tmp_path / "run", *words))
    assert found[1, "sites", "examples"] == 14
    assert (1, "client:2", "accuracy") not in found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["engine=inprocess", "num_clients=null"], "num_clients=null takes whichever real sites"),
        (["sites=[a]"], "sites names real sites, and engine=ray simulates"),
        (["eval.where=sites"], "eval.where=sites has real sites score"),
        (["engine=ray", "engine.sites={a: x}"], "engine.sites are folders of one machine"),
        (["engine=inprocess", "engine.sites={a: x}", "sites=[a]", "num_clients=2"], "names 1"),
        (["engine=inprocess", "engine.sites={a: x}", "algorithm=central"], "pooled examples"),
        (
            ["engine=inprocess", "engine.sites={a: x}", "num_clients=null", "client_fraction=0.5"],
            "client_fraction goes without num_clients=null",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        compose({"overrides": shlex.join(words)})
