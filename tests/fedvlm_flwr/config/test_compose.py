"""compose: from run-config to one typed configuration."""

import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from fedvlm_flwr.config import Scalar, compose, from_hydra, to_yaml
from fedvlm_flwr.data.partitions import iid
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.process import Process
from strategies.core.federation import Federation
from tests.trees import COMPOSING

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def by_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tree is composed here, those that other tests had composed too."""
    monkeypatch.setattr(COMPOSING, "_compose_hydra", COMPOSING._compose_hydra.__wrapped__)


def app_config() -> dict[str, Scalar]:
    """What pyproject.toml lets `flwr run --run-config` set."""
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config: dict[str, Scalar] = tree["tool"]["flwr"]["app"]["config"]
    return config


def test_equal_run_configs_give_the_one_object() -> None:
    process = Process()
    first = process.compose({"seed": 5, "num-server-rounds": 3})
    assert process.compose({"num-server-rounds": 3, "seed": 5}) is first
    assert process.compose({"num-server-rounds": 3, "seed": 5, "model": ""}) is first


def test_other_values_give_another_object() -> None:
    assert compose({"seed": 5}) != compose({"seed": 6})


def test_is_frozen() -> None:
    config = compose({})
    with pytest.raises(FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        config.train.lr = 1.0  # type: ignore[misc]


def test_defaults_are_those_of_conf() -> None:
    config = compose({})
    shipped = OmegaConf.load(ROOT / "conf" / "config.yaml")
    train = OmegaConf.load(ROOT / "conf" / "train" / "default.yaml")
    assert config.num_rounds == shipped.num_rounds
    assert config.num_clients == shipped.num_clients
    assert config.eval.batch_size == shipped.eval.batch_size
    assert config.train.lr == train.lr
    assert (config.model.name, config.model.kind) == ("tiny_llava", "llava")
    assert config.partition.params == iid.Params()
    assert config.tuning.stages[0].trained == {"connector": "full", "llm": "lora"}
    assert config.run_name is None


def test_whole_cohort_and_all_replies_unless_told_otherwise() -> None:
    def sizes(**more: int) -> tuple[int, int]:
        federation = Federation.of(compose({k.replace("_", "-"): v for k, v in more.items()}))
        return federation.cohort_size, federation.replies_needed

    assert sizes(num_clients=6) == (6, 6)
    assert sizes(num_clients=6, clients_per_round=4) == (4, 4)
    assert sizes(num_clients=6, clients_per_round=4, min_replies=2) == (4, 2)


def test_rounds_of_a_stage_that_sets_its_own() -> None:
    given = "num_rounds=5 'tuning.stages=[{train:{llm:lora},num_rounds:2}]'"
    assert compose({"overrides": given}).rounds_of(0) == 2
    assert compose({"num-server-rounds": 5}).rounds_of(0) == 5


def test_kebab_case_keys_reach_their_fields() -> None:
    config = compose(
        {
            "num-server-rounds": 3,
            "num-clients": 4,
            "clients-per-round": 3,
            "min-replies": 2,
            "round-timeout": 7.5,
            "seed": 11,
            "run-name": "mine",
            "output-dir": "/tmp/out",
            "tuning": "f_l",
            "partition": "dirichlet",
            "engine": "inprocess",
        }
    )
    assert (config.num_rounds, config.num_clients, config.clients_per_round) == (3, 4, 3)
    assert (config.min_replies, config.round_timeout, config.seed) == (2, 7.5, 11)
    assert (config.run_name, config.output_dir) == ("mine", "/tmp/out")
    assert (config.tuning.name, config.engine.name) == ("f_l", "inprocess")
    assert (config.partition.kind, config.partition.params.alpha) == ("dirichlet", 0.5)


def test_snake_case_is_the_same_key() -> None:
    assert compose({"num_rounds": 3}).num_rounds == 3
    assert compose({"min-replies": 2}) == compose({"min_replies": 2})


def test_overrides_win_and_reach_nested_keys() -> None:
    config = compose({"seed": 1, "train": "default", "overrides": "seed=2 train.lr=3e-4"})
    assert config.seed == 2
    assert config.train.lr == 3e-4


def test_overrides_take_quoted_values() -> None:
    config = compose({"overrides": "'run_name=a b'"})
    assert config.run_name == "a b"
    with pytest.raises(ConfigError, match=r"Unknown key algorithm\.note"):
        compose({"overrides": "+algorithm.note='x'"})


def test_local_steps_replace_local_epochs() -> None:
    config = compose({"overrides": "train.local_epochs=null train.local_steps=7"})
    assert (config.train.local_epochs, config.train.local_steps) == (None, 7)


def test_whole_numbers_serve_as_floats() -> None:
    timeout = compose({"round-timeout": 5}).round_timeout
    assert timeout == 5.0
    assert isinstance(timeout, float)


def test_a_number_is_a_name_too() -> None:
    assert compose({"run-name": "7"}).run_name == "7"


def test_every_app_key_is_accepted_and_says_nothing_by_itself() -> None:
    given = app_config()
    assert given, "pyproject.toml offers no run-config keys"
    assert set(given.values()) == {""}
    assert compose(given) == compose({})


def test_every_app_key_can_be_set() -> None:
    values: dict[str, Scalar] = {
        **{"model": "tiny_llava", "tuning": "f_c", "algorithm": "fedavg", "dataset": "easyvqa"},
        **{"partition": "iid", "train": "default", "engine": "ray", "experiment": "smoke"},
        **{"num-server-rounds": 2, "num-clients": 2, "clients-per-round": 2, "min-replies": 2},
        **{"client-fraction": "", "max-update-norm": 9.5, "resume": "/tmp/a run"},
        **{"round-timeout": 2, "seed": 2, "run-name": "two", "output-dir": "two"},
        "overrides": "eval.every=2",
    }
    assert values.keys() == app_config().keys()
    config = compose(values)
    assert (config.seed, config.eval.every, config.min_replies) == (2, 2, 2)


REFUSED: list[tuple[dict[str, Scalar], list[str]]] = [
    ({"nonsense": 1}, ["nonsense"]),
    ({"overrides": "train.nonsense=1"}, ["train.nonsense"]),
    ({"overrides": "+nonsense=1"}, ["nonsense", "num_rounds", "seed"]),
    ({"overrides": "+train.nonsense=1"}, ["train.nonsense", "local_steps", "lr"]),
    ({"overrides": "~seed"}, ["seed", "not set"]),
    ({"algorithm": "fedsmth"}, ["algorithm", "fedsmth", "fedavg"]),
    ({"partition": "random"}, ["partition", "random", "dirichlet", "iid", "natural"]),
    ({"tuning": "f_x"}, ["tuning", "f_x", "f_c", "f_cl", "f_l"]),
    ({"engine": "slurm"}, ["engine", "slurm", "inprocess", "ray"]),
    ({"overrides": "model=gpt"}, ["model", "gpt", "tiny_llava"]),
    ({"num-server-rounds": "many"}, ["num_rounds", "many", "int"]),
    ({"num-server-rounds": True}, ["num_rounds", "True", "int"]),
    ({"seed": 1.5}, ["seed", "1.5", "int"]),
    ({"seed": -1}, ["seed", "-1"]),
    ({"overrides": "train.lr=fast"}, ["train.lr", "fast", "float"]),
    ({"overrides": "eval.shuffled=2"}, ["eval.shuffled", "2", "bool"]),
    ({"overrides": "eval=3"}, ["eval", "3"]),
    ({"num-server-rounds": 0}, ["num_rounds", "0", "[1, 1e+06]"]),
    ({"num-clients": -3}, ["num_clients", "-3"]),
    ({"round-timeout": 0}, ["round_timeout", "0"]),
    ({"overrides": "round_timeout=nan"}, ["round_timeout", "nan"]),
    ({"overrides": "train.local_epochs=1"}, ["train.local_epochs=1", "train.local_steps="]),
    ({"overrides": "train.local_steps=null"}, ["train.local_epochs", "train.local_steps"]),
    ({"overrides": "train.batch_size=0"}, ["train.batch_size=0"]),
    ({"overrides": "train.min_lr=1"}, ["train.min_lr=1"]),
    ({"overrides": "train.weight_decay=-0.1"}, ["train.weight_decay=-0.1"]),
    ({"overrides": "train.optimizer=lion"}, ["train.optimizer", "lion", "adamw", "sgd"]),
    ({"overrides": "train.schedule=step"}, ["train.schedule", "step", "cosine", "constant"]),
    ({"overrides": "wire.dtype=int4"}, ["wire.dtype", "int4", "float32", "bfloat16"]),
    ({"overrides": "engine.device=tpu"}, ["engine.device", "tpu", "auto", "cpu", "cuda"]),
    ({"overrides": "engine.gpus_per_client=-1"}, ["engine.gpus_per_client", "-1"]),
    (
        {"num-clients": 4, "clients-per-round": 5},
        ["clients_per_round=5", "num_clients=4"],
    ),
    ({"num-clients": 4, "min-replies": 5}, ["min_replies=5", "4 clients"]),
    (
        {"num-clients": 4, "clients-per-round": 2, "min-replies": 3},
        ["min_replies=3", "2 clients"],
    ),
    ({"run-name": "a/b"}, ["run_name", "a/b", "output_dir"]),
    ({"run-name": ".."}, ["run_name", ".."]),
    ({"overrides": 'run_name="x'}, ["overrides", 'run_name="x', "quot"]),
    ({"overrides": "'tuning.stages=[{train:{llm:frozen}}]'"}, ["llm", "frozen", "nothing"]),
    ({"overrides": "'tuning.stages=[{train:{llm:half}}]'"}, ["llm", "half", "lora", "full"]),
    ({"overrides": "'tuning.stages=[{train:{vision:full}}]'"}, ["vision", "frozen"]),
    ({"overrides": "'tuning.stages=[{train:{connector:lora}}]'"}, ["connector", "lora", "full"]),
    ({"overrides": "'tuning.stages=[{llm:lora}]'"}, ["tuning.stages[0].llm", "train"]),
    ({"overrides": "tuning.stages=[]"}, ["tuning.stages", "empty"]),
    ({"overrides": "tuning.lora.r=0"}, ["tuning.lora.r=0"]),
    ({"overrides": "tuning.lora.dropout=1"}, ["tuning.lora.dropout=1"]),
    ({"overrides": "seed"}, ["seed"]),
    ({"overrides": "train.lr=1e-3,1e-4"}, ["train.lr", "1e-3,1e-4"]),
    ({"overrides": "seed=${oops}"}, ["oops"]),
    ({"overrides": "model.name=null"}, ["model.name"]),
    # one of the groups taken away altogether
    ({"overrides": "train=null"}, ["train"]),
    ({"overrides": "algorithm=null"}, ["algorithm"]),
    ({"overrides": "~tuning"}, ["tuning"]),
    ({"overrides": "~model"}, ["model"]),
    ({"overrides": "~eval"}, ["eval"]),
    # a typing error in the one group that may be left out
    ({"experiment": "nope"}, ["experiment", "nope"]),
    ({"overrides": "seed=3 experiment=nope"}, ["experiment", "nope"]),
]


@pytest.mark.parametrize(("given", "named"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_refusal_names_what_is_wrong(given: dict[str, Scalar], named: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose(given)
    text = str(refusal.value)
    assert [word for word in named if word not in text] == [], text
    assert "\n" not in text


@pytest.mark.parametrize(
    "name", ["lr=0.1", "a,b", "dataset.tasks_[vqa]", "{x}", "d'Artagnan", "naïve", "a  b", "x#y"]
)
def test_run_config_takes_any_folder_name(name: str) -> None:
    """Sweeps build run names from overrides; homes are called as people like."""
    config = compose({"run-name": name, "output-dir": f"/tmp/{name}"})
    assert (config.run_name, config.output_dir) == (name, f"/tmp/{name}")


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        "model=tiny_llava tuning=f_l partition=dirichlet engine=inprocess",
        "run_name=007 train.lr=1e-5 train.max_grad_norm=null",
        "'run_name=\"1e3\"' partition=task 'dataset.tasks=[vqa,detection]'",
        "num_clients=5 clients_per_round=2 min_replies=1 wire.dtype=bfloat16",
    ],
)
def test_yaml_gives_the_same_configuration_again(overrides: str) -> None:
    config = compose({"overrides": overrides})
    again = OmegaConf.create(to_yaml(config))
    assert isinstance(again, type(OmegaConf.create({})))
    assert from_hydra(again) == config


def test_inside_a_running_hydra_which_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "outer.yaml").write_text("colour: red\n")
    expected = compose({}).num_clients
    with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
        assert compose({"seed": 40_001}).num_clients == expected
        assert GlobalHydra.instance().is_initialized()
        assert hydra_compose("outer").colour == "red"
        with pytest.raises(ConfigError):
            compose({"seed": 40_002, "algorithm": "nope"})
        assert hydra_compose("outer", overrides=["colour=blue"]).colour == "blue"


def test_leaves_no_hydra_behind() -> None:
    compose({"seed": 40_003})
    assert not GlobalHydra.instance().is_initialized()


def test_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("num_rounds: 99\n")
    monkeypatch.chdir(tmp_path)
    assert compose({"seed": 40_004}).num_rounds == compose({}).num_rounds != 99
