"""A run-configuration from outside reads nothing of the machine that composes it."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.config import Config, compose, make_choice
from fedvlm_flwr.config.choice import GROUPS, params_class
from fedvlm_flwr.config.compose import quoted, to_tree, unquoted
from fedvlm_flwr.config.keys import keys_of
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available
from tests.patience import within

SECRET = "s3cr3t-of-this-machine"


@pytest.mark.parametrize(
    "override",
    [
        "train.lr=${oc.env:FEDVLM_TEST_SECRET}",
        "run_name=${oc.env:FEDVLM_TEST_SECRET}",
        "model.template='${oc.env:FEDVLM_TEST_SECRET}'",
        'model.template="a ${oc.env:FEDVLM_TEST_SECRET,b}"',
        "model.template=${oc.decode:${oc.env:FEDVLM_TEST_SECRET}}",
        "model.template='${oc.${train.optimizer}:x}'",
        "model.template=${hydra.runtime.cwd}",
        "model.template='${ oc.env : FEDVLM_TEST_SECRET }'",
        "+more=${oc.env:FEDVLM_TEST_SECRET}",
        "train.lr=[${oc.env:FEDVLM_TEST_SECRET}]",
        "hydra.job.name=x",
        "hydra/job_logging=none",
        "+hydra.callbacks.x._target_=os.system",
        "scaled/model@model=reference_llava/llava_clip_llama32_3b",
        "model=../../../{outside}",
        "model=/{outside}",
        "experiment=../{outside}",
        "~model/x",
    ],
)
def test_it_is_refused_and_tells_nothing(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDVLM_TEST_SECRET", SECRET)
    (tmp_path / "outside.yaml").write_text(f"name: {SECRET}\nkind: llava\n", encoding="utf-8")
    inside = override.replace("{outside}", str(tmp_path / "outside").lstrip("/"))
    for run_config in ({"overrides": f'"{inside}"' if '"' not in inside else inside},):
        with pytest.raises(ConfigError) as refusal:
            compose(run_config)
        assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "override",
    [
        "tuning.lora.targets=" + "[" * 4000 + "]" * 4000,
        "seed=" + "1" * 5000,
        "train.lr=" + "1" * 5000,
        "run_name=" + "[" * 3000,
        "run_name=" + "a" * 10**6,
        "run_name=" + "a" * 40_000,
        "seed=\0",
    ],
    ids=lambda text: text[:25],
)
def test_an_override_that_nobody_can_read_is_refused_in_a_sentence(override: str) -> None:
    with within(10), pytest.raises(ConfigError) as refusal:
        compose({"overrides": override})
    assert len(str(refusal.value)) < 600 and "\n" not in str(refusal.value)


def test_flat_keys_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_TEST_SECRET", SECRET)
    for key in ("seed", "model", "run-name", "output-dir"):
        with pytest.raises(ConfigError) as refusal:
            compose({key: "${oc.env:FEDVLM_TEST_SECRET}"})
        assert SECRET not in str(refusal.value)


def test_another_keys_value_may_be_taken() -> None:
    config = compose({"overrides": "train.min_lr='${train.lr}' seed=${num_rounds}"})
    assert config.train.min_lr == config.train.lr
    assert config.seed == config.num_rounds


PATHS = [
    "model.name",
    "algorithm.name",
    "dataset.name",
    "partition.name",
    "tuning.name",
    "engine.name",
    "dataset.title",
    "dataset.variant",
    "run_name",
]


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize("value", ["../../evil", "/etc/evil", "a/b", "..", ".", "a\\b"])
def test_what_becomes_part_of_a_path_is_a_name(key: str, value: str) -> None:
    sets = {
        "dataset.title": "dataset=folder dataset.root=/data",
        "dataset.variant": "dataset=fed_med",
    }
    more = sets.get(key, "")
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        compose({"overrides": f"{more} {key}='{value}'"})


@pytest.mark.parametrize("kind", ["folder", "published"])
def test_so_it_is_in_every_kind_of_dataset(kind: str) -> None:
    for key in ("name", "title"):
        values = {"name": "x", "kind": kind, "title": "x"} | {key: "../../evil"}
        with pytest.raises(ConfigError, match=rf"dataset\.{key}='../../evil' is no name"):
            make_choice("dataset", {**dataset_values(kind), **values})


def dataset_values(kind: str) -> dict[str, Any]:
    shipped = {"folder": "folder", "published": "fed_slake"}[kind]
    return to_tree(compose({"overrides": f"dataset={shipped}"}))["dataset"]


def test_every_name_that_is_known_is_one_of_these() -> None:
    names = {key.name for key in keys_of(Config) if key.facts.name}
    groups = {f"{key.name}.name" for key in keys_of(Config) if key.facts.group}
    for group, place in GROUPS.items():
        for kind in available(place.package, place.inner):
            keys = keys_of(params_class(group, kind))
            names |= {f"{group}.{key.name}" for key in keys if key.facts.name}
    lists = {"sites", "report.trackers"}  # the range holds for each entry of a list alike
    assert names | groups | {"run_name"} == set(PATHS) | lists


@given(st.text(min_size=1))
def test_any_text_can_be_quoted_for_hydra(text: str) -> None:
    plain = text.replace("\0", "")
    assert unquoted(quoted(plain)) == plain
    parsed = OverridesParser.create().parse_override(f"key={quoted(plain)}").value()
    assert getattr(parsed, "text", parsed) == plain
