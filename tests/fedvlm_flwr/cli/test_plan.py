"""`fedvlm plan`: what it prints, for the tiny model and for models of billions."""

import json
import re
import subprocess
import sys

import pytest
import torch

from fedvlm_flwr.cli import main

SMALL = ("eval.batch_size=16",)


def told(capsys, *words):
    assert main(["plan", "--format", "json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_help_and_wrong_usage(capsys):
    assert main(["plan", "--help"]) == 0
    assert "usage: fedvlm plan" in capsys.readouterr().out
    assert main(["plan", "--gpu-gb", "much"]) == 2


def test_the_lines_add_up_and_the_card_is_shared(capsys):
    assert main(["plan", "--gpu-gb", "3", "clients_per_round=6", *SMALL]) == 0
    text = capsys.readouterr().out
    assert "examples of 16 + 128 tokens (picture + text), 16 of them the answer" in text
    rows = dict(re.findall(r"^ +([a-zA-Z/' (),]+?) +(\d+\.\d{3}) +\d+\.\d{3}$", text, re.M))
    resident = [float(rows[name]) for name in ("frozen weights", "trained weights", "CUDA context")]
    training = [float(rows[name]) for name in ("gradients", "optimiser state")]
    training += [float(v) for name, v in rows.items() if name.startswith(("activations", "logits"))]
    answering = re.findall(r"^   (?:working memory|fragmentation) +(\d+\.\d{3})", text, re.M)
    training += [float(value) for value in answering[:2]]
    assert float(rows["in all, to train"]) == pytest.approx(sum(resident + training), abs=0.005)
    assert re.search(
        r"^card of 3 GB: 3 clients at once .*: engine.gpus_per_client=0.333$", text, re.M
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card to plan for")
def test_sizes_in_bytes_and_common_cards_where_none_is_named(capsys):
    found = told(capsys, "--length", "40", "--answer", "5", *SMALL)
    assert (found["image_tokens"], found["text_tokens"], found["answer_tokens"]) == (16, 40, 5)
    plain, again = found["estimates"]
    assert not plain["gradient_checkpointing"] and again["gradient_checkpointing"]
    assert plain["resident"]["trained weights"] == 4 * 72_064
    assert plain["to_train"] == sum(plain["resident"].values()) + sum(plain["training"].values())
    assert [card["gb"] for card in found["cards"]] == [16, 24, 40, 80]
    assert found["cards"][0]["clients"] == 8  # the whole cohort
    assert found["measured"] is None


def test_three_billion_fit_on_24_gb_with_what_is_proposed(capsys):
    words = ["model=llava_clip_llama32_3b", "train.batch_size=8", "eval.batch_size=64"]
    first = told(capsys, "--gpu-gb", "24", *words)
    plain, again = first["estimates"]
    assert plain["resident"]["frozen weights"] == pytest.approx(2 * 3.3e9, rel=0.01)
    assert plain["training"]["gradients"] == 4 * (11_802_624 + 12_156_928)
    assert plain["to_train"] > 30e9
    assert again["to_train"] < 12e9
    (card,) = first["cards"]
    assert card["clients"] == 0 and "train.gradient_checkpointing=true" in card["changes"]
    assert sum(card["changed"][who] for who in ("to_train", "server")) < 24e9


def test_show_o_keeps_its_image_tokenizer_in_float32_and_has_no_connector(capsys):
    words = ["model=showo_512", "tuning=f_l", "train.batch_size=4", "eval.batch_size=4"]
    found = told(capsys, "--gpu-gb", "40", "--length", "128", *words)
    plain = found["estimates"][0]
    assert found["image_tokens"] == 1024 + 3
    assert plain["training"]["activations of the connector"] == 0
    # 1,455,254,658 - 7,077,888 of the language model in 2 bytes, 95,387,004 of the tokenizer in 4.
    weights = 2 * (1_335_392_256 + 119_862_402 - 7_077_888) + 4 * 95_387_004
    assert plain["resident"]["frozen weights"] == pytest.approx(weights, rel=0.001)


def test_lengths_that_contradict_the_model_are_refused(capsys):
    assert main(["plan", "--length", "500"]) == 1
    assert "model.max_text_tokens=128" in capsys.readouterr().err
    assert main(["plan", "--answer", "128"]) == 1
    assert "--answer 128 must be less than --length 128" in capsys.readouterr().err
    assert main(["plan", "--gpu-gb", "-1"]) == 1
    assert "--gpu-gb -1 must be above 0." in capsys.readouterr().err


def test_it_says_what_it_plans_for(capsys):
    assert main(["plan", "--gpu-gb", "3", *SMALL]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^ *one client process on a GPU, GB", text, re.M)
    assert re.search(r"^one client process on a CPU: [0-9.]+ [MG]B to train", text, re.M)


def test_the_estimate_for_a_cpu_is_near_what_a_process_has_used(small):
    """Within 1.5 either way: a process of its own, whose fullest moment the system has counted."""
    words = [*small, "engine.device=cpu", "train.batch_size=96", "eval.batch_size=96"]
    code = "from fedvlm_flwr.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "plan", "--measure", "--format", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    plan = json.loads(done.stdout)
    (peak,) = plan["measured"]["training"]
    guess = next(e for e in plan["cpu"] if not e["gradient_checkpointing"])
    assert guess["to_train"] / 1.5 < peak["allocated"] < 1.5 * guess["to_train"]
    activations = guess["training"]["activations of the LLM"]
    assert activations > 0.1 * guess["to_train"]  # more than Python alone is weighed
