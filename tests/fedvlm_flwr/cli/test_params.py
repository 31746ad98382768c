"""`fedvlm params`: what it prints, and that real messages weigh what it says."""

import json
import re
import shlex

import pytest
import torch
from flwr.app import Message
from flwr.clientapp import ClientApp

from client_app.worker import Worker
from fedvlm_flwr.cli import main
from fedvlm_flwr.cli.params import count_stages
from fedvlm_flwr.cli.plan import estimator_of
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.messages.wire import payload_bytes
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.memory import Lengths
from fedvlm_flwr.process import this_process
from strategies import load_strategy
from strategies.core.federation import Federation


def told(capsys, *words):
    assert main(["params", "--format", "json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_help_and_wrong_usage(capsys):
    assert main(["params", "--help"]) == 0
    assert "usage: fedvlm params" in capsys.readouterr().out
    assert main(["params", "--format", "yaml"]) == 2
    assert main(["params", "--fly"]) == 2


def test_a_table_for_each_stage(capsys):
    words = ["params", "model=llava_clip_llama32_3b", "tuning=f_2stage", "wire.dtype=bfloat16"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert re.search(r"^ connector +11,802,624 +11,802,624 +11,802,624$", text, re.M)
    assert re.search(r"^ llm +3,224,906,752 +12,156,928 +12,156,928$", text, re.M)
    assert re.search(r"^ all +3,324,165,376 +12,156,928 +12,156,928$", text, re.M)
    assert text.count("vision") == 2 and "outside" not in text
    assert re.search(r"^stage 1 of 2: connector full$", text, re.M)
    assert re.search(r"^stage 2 of 2: llm lora$", text, re.M)
    assert re.search(r"^ one client, each round +24.4 MB +24.4 MB$", text, re.M)  # 2 B a number
    assert re.search(r"^ all 8 of a round +194.8 MB +194.8 MB$", text, re.M)
    assert re.search(r"^ more in a client's first message +23.6 MB +0 B$", text, re.M)


def test_experts_without_adapters_are_told(capsys, hf_checkpoint):
    """Two layers of 4 experts: 2 x 16 x 64 into each, 64 x 16 out of it."""
    words = ["params", "model=hf_vlm", f"model.checkpoint={hf_checkpoint('qwen3_vl_moe')}"]
    assert main([*words, "tuning=f_l"]) == 0
    said = "24,576 numbers of the LLM's experts take no adapter"
    assert said in capsys.readouterr().out


def test_phi_with_adapters_of_rank_8_has_the_references_numbers(capsys):
    (stage,) = told(capsys, "model=showo_512", "tuning=f_l")
    parts = {part["part"]: part for part in stage["parts"]}
    assert parts["llm"]["trained"] == parts["llm"]["shared"] == 7_077_888
    assert "connector" not in parts


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_real_messages_weigh_as_much(capsys, small, simulation, dtype):
    words = [*small, "tuning=share_connector", "algorithm=scaffold", f"wire.dtype={dtype}"]
    (stage,) = told(capsys, *words)
    told_down, told_up = (stage["messages"][0][way] for way in ("down", "up"))
    run_config = {"overrides": shlex.join(words)}
    config = compose(run_config)
    initial = this_process().model(config, torch.device("cpu")).initial[0]
    strategy = load_strategy(
        config.algorithm, Federation.of(config, run="0" * 32, examples={0: 9, 1: 9, 2: 9})
    )
    strategy.begin(initial)
    InProcessGrid(ClientApp(), {}, 1)  # messages belong to a run
    node = {"partition-id": 0, "num-partitions": 3}
    for number in (1, 2):
        message = strategy.open_round(number)[0].pack()
        reply = Worker(this_process()).train(message, run_config, node)
        # Beside the arrays there are a request's scalars, and metrics.
        more = stage["once"] if number == 1 else 0
        assert 0 < payload_bytes(message) - told_down - more < 1000
        assert 0 < payload_bytes(reply) - told_up < 1000
        request = Message(message, 1, "train")
        request.metadata.__dict__["_message_id"] = "1"
        strategy.receive(0, Message(reply, reply_to=request))
        strategy.close_round(number)
    counts = {part["part"]: (part["trained"], part["shared"]) for part in stage["parts"]}
    assert counts["connector"] == (33_024, 33_024) and counts["llm"] == (39_040, 0)


def test_a_part_that_the_model_lacks_is_named(capsys):
    assert main(["params", "model=showo_256", "tuning=f_cl"]) == 1
    assert capsys.readouterr().err.startswith("error: The model has no part 'connector'")


NAMES = ("fedit", "ffa_lora", "rolora", "fedsa_lora", "flexlora", "fedex_lora", "flora")
NAMES += ("lora_fair", "hetlora", "ditto")


def test_every_rule_for_adapters_is_counted_and_planned():
    """As `fedvlm params` and `fedvlm plan` do, on one network for all."""
    skeleton = adapted_skeleton(compose({}))
    for name in NAMES:
        config = compose({"overrides": f"algorithm={name} num_clients=3"})
        (stage,) = count_stages(config, skeleton)
        (each,) = stage.messages
        assert each.clients == 3 and each.down > 0 and each.up > 0, name
        if name in ("ffa_lora", "ditto", "hetlora"):  # other names, and hooks of their own
            training = estimator_of(config, skeleton, Lengths(40, 5)).estimate(config, 0).training
            kept = training["algorithm's tensors"]  # of an own model: where it is pulled to
            assert kept == (4 * 72_064 if name == "ditto" else 0), name


def test_each_rank_has_a_line(capsys):
    words = ["algorithm=flexlora", "num_clients=7", "tuning.lora.rank_of=[2,4,8]"]
    assert main(["params", *words]) == 0
    text = capsys.readouterr().out
    lines = re.findall(r"one of (\d) of rank (\d), each round", text)
    assert lines == [("3", "2"), ("2", "4"), ("2", "8")]
