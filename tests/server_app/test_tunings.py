"""Fine-tuning strategies in real runs: what they share, what they leave where, what they refuse."""

import pytest
from safetensors.numpy import load_file

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.run_folder import METRICS
from server_app.saved import read_checkpoint

SHORT = ("eval.shuffled=false", "dataset.tasks=[vqa]", "eval.max_examples=20")


def found(folder, metric):
    return [
        (line["round"], line["where"], line["value"])
        for line in folder.lines(METRICS)
        if line["metric"] == metric and line["task"] in ("vqa", "train")
    ]


@pytest.fixture(scope="module")
def staged(start):
    return start("tuning=f_2stage", "tuning.stages.0.num_rounds=1", *SHORT)


def test_rounds_are_counted_over_stages_and_each_is_scored_once(staged):
    scored = [number for number, where, _ in found(staged, "accuracy") if where == "server"]
    assert scored == [0, 1, 2, 3]
    stages = {(line["round"], line.get("stage", 0)) for line in staged.lines(METRICS)}
    assert stages == {(0, 0), (1, 0), (2, 1), (3, 1)}


def test_a_stage_sends_its_own_part_and_tells_once_what_the_one_before_came_to(staged):
    numbers = {0: 33024, 1: 39040}  # of the connector and of the adapters
    header = 1.05  # records weigh a little more than their numbers
    down = {n: value for n, where, value in found(staged, "bytes_down") if where == "server"}
    up = {n: value for n, where, value in found(staged, "bytes_up") if where == "server"}
    clients = 3
    for number, expected in ((1, numbers[0]), (2, numbers[1]), (3, numbers[1])):
        assert clients * 4 * expected < up[number] < header * clients * 4 * expected
    first, later = numbers[0] + numbers[1], numbers[1]
    assert clients * 4 * first < down[2] < header * clients * 4 * first
    assert clients * 4 * later < down[3] < header * clients * 4 * later


def test_the_second_stage_leaves_the_first_ones_result_as_it_was(staged, start):
    alone = start("tuning=f_c", "num_rounds=1", *SHORT)
    first = load_file(alone.path / "adapter" / "connector.safetensors")
    both = load_file(staged.path / "adapter" / "connector.safetensors")
    assert all((first[name] == both[name]).all() for name in first)
    saved = read_checkpoint(staged)
    assert saved is not None
    assert saved.previous.keys() == {f"connector.{name}" for name in first}
    assert all(".lora_" in name for name in saved.state.arrays)


@pytest.mark.parametrize(
    ("tuning", "part", "own"),
    [("share_lora", "llm", "connector"), ("share_connector", "connector", "llm")],
)
def test_private_parts_stay_with_their_clients_who_score_their_own_models(start, tuning, part, own):
    folder = start(
        f"tuning={tuning}", "partition=task", "dataset.tasks=[vqa,detection]", *SHORT[:1]
    )
    saved = read_checkpoint(folder)
    assert saved is not None
    assert {name.partition(".")[0] for name in saved.state.arrays} == {part}
    private = [
        load_file(folder.path / "clients" / f"client_{k}" / "stage_0_round_0002.safetensors")
        for k in range(3)
    ]
    assert {name.split(".")[0] for kept in private for name in kept} == {f"tensors/{own}"}
    name = sorted(private[0])[0]
    assert (private[0][name] != private[1][name]).any()
    last = {where: value for n, where, value in found(folder, "accuracy") if n == 2}
    clients = [last[f"client:{k}"] for k in range(3)]
    assert last["clients"] == pytest.approx(sum(clients) / 3)
    assert len(set(clients)) > 1, "every client was scored with the same private part"
    assert "server" not in last
    shares = {where: value for n, where, value in found(folder, "local_accuracy") if n == 2}
    assert shares.keys() < {f"client:{k}" for k in range(3)}  # one of them has detection alone
    for metric, value in (
        ("mean", sum(shares.values()) / len(shares)),
        ("worst", min(shares.values())),
    ):
        told = [x for n, _, x in found(folder, f"local_accuracy_{metric}") if n == 2]
        assert told == [pytest.approx(value)]


def test_what_stays_with_the_clients_cannot_be_built_on(start):
    with pytest.raises(ConfigError, match=r"algorithm=local .* 2 stages"):
        start("tuning=f_2stage", "algorithm=local", *SHORT)


def test_a_bfloat16_base_federates(start):
    folder = start("model.dtype=bfloat16", *SHORT)
    losses = [value for n, where, value in found(folder, "loss") if where == "server"]
    assert losses[1] < losses[0]
    saved = read_checkpoint(folder)
    assert saved is not None
    assert any((values.view("uint32") & 0xFFFF).any() for values in saved.state.arrays.values())


def test_a_part_that_the_model_lacks_is_told_before_anything_is_made(start, home):
    before = sorted(home.glob("models/*"))
    with pytest.raises(ModelError, match="no part 'connector'"):
        start("model=tiny_showo", "model.tiny.pretrain.seed=77", "tuning=f_c")
    assert sorted(home.glob("models/*")) == before
