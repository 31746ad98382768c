"""What is said of experts that take no adapter."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fedvlm_flwr.config import compose
from fedvlm_flwr.models.experts import expert_numbers, experts_without_adapters


class StackedExperts(nn.Module):
    """Four experts of 3 x 2 in one tensor, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, 2))
        self.bias = nn.Parameter(torch.zeros(4, 3))


def model(*layers: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(
        module=nn.ModuleDict({"llm": nn.Sequential(*layers)}), parts={"llm": "llm"}
    )


@pytest.mark.parametrize(("tuning", "said"), [("f_l", True), ("full_llm", False), ("f_c", False)])
def test_stacked_experts_are_told_where_there_are_adapters(tuning, said):
    words = experts_without_adapters(model(StackedExperts()), compose({"tuning": tuning}).tuning)
    assert words.startswith("24 numbers of the LLM's experts") == said
    assert bool(words) == said


def test_linear_layers_and_convolutions_are_no_experts():
    assert expert_numbers(model(nn.Linear(2, 2), nn.Conv1d(2, 2, 3), nn.Sequential())) == 0
