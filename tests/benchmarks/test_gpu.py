"""The benchmark for a GPU runs at tiny size on a CPU, from its checks to its file."""

import json
import sys

import pytest
import torch

from benchmarks import gpu, gpu_checks
from benchmarks.gpu_measures import flops
from benchmarks.gpu_models import built, configured, example, tokens_of
from fedvlm_flwr.planning.counting import adapted_skeleton
from fedvlm_flwr.planning.memory import Lengths

CPU = torch.device("cpu")


@pytest.mark.slow
def test_it_checks_measures_and_writes(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    words = "--device cpu --size tiny --models llava_clip_llama32_3b --times 1 --steps 1"
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words.split(), "--out", str(out)])
    gpu.main()
    report = json.loads(out.read_text())
    assert report["card"].startswith("CPU")
    checks = report["checks"]
    assert checks["scaffold: largest difference"] == checks["resumed: largest difference"] == 0
    assert "ran out of memory in training" in checks["out of memory"]
    model = report["llava_clip_llama32_3b"]
    measured = [row for row in model["training"] if "left_out" not in row]
    assert {(row["batch"], row["checkpointing"]) for row in measured} == {(4, False), (4, True)}
    assert all(row["tokens_per_second"] > 0 and row["peak_gb"] > 0 for row in measured)
    (alone,) = model["processes"]
    assert alone["processes"] == 1
    assert alone["tokens_per_second"] > 0
    assert model["answering"]["generated_tokens_per_second"] > 0
    assert "| llava_clip_llama32_3b | - | 4 | False |" in capsys.readouterr().out


def test_what_is_further_from_the_cpu_than_it_may_be_is_told(monkeypatch):
    monkeypatch.setattr(gpu_checks, "losses", lambda _, device: float(device.type != "cpu"))
    with pytest.raises(RuntimeError, match="the loss of tiny_llava is 1 from the CPU's"):
        gpu_checks.check(torch.device("meta"))


@pytest.mark.parametrize("name", ["llava_clip_llama32_3b", "showo_512"])
def test_operations_are_those_of_the_layers_and_weights_those_of_the_seed(name, tmp_path):
    """A frozen layer multiplies twice, forward and for what is before it, and never for itself."""
    config = configured(name, "tiny", precision="float32")
    one, other = (built(config, CPU) for _ in range(2))
    for a, b in zip(one.vlm.module.parameters(), other.vlm.module.parameters(), strict=True):
        assert torch.equal(a, b)
    one_example = example(one, tmp_path, Lengths(64, 8))
    tokens = tokens_of(one, one_example, adapted_skeleton(config).image_tokens)
    last = set(one.vlm.llm.layers[-1].modules())
    whole, read = 0, 0
    for place, m in one.vlm.llm.named_modules():
        if isinstance(m, torch.nn.Linear) and not m.weight.requires_grad:
            if m in last and "k_proj" not in place and "v_proj" not in place:
                read += m.weight.numel()  # where a label is, and nowhere else
            else:
                whole += m.weight.numel()
    labels = len(one.vlm.encode(one_example.question, one_example.answer).answer_ids)
    ratio = flops(one, config, one_example) / (tokens * whole + labels * read)
    assert 3.5 < ratio < 6
