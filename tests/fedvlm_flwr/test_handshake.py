"""What must be equal on a server and its sites is told, and a difference is named."""

from dataclasses import replace

import pytest
import torch

from fedvlm_flwr import handshake
from fedvlm_flwr.config import compose
from fedvlm_flwr.handshake import Fingerprints, fingerprints
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.models.resident import load_resident

OWN = Fingerprints("torch 2.13.0, peft 0.19.1", "a" * 64, "b" * 64, "c" * 64)
EQUAL = SiteReply(site="north", **vars(OWN))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"versions": "torch 2.12.1, peft 0.19.1"}, "it has torch 2.12.1 and the server 2.13.0"),
        ({"versions": "torch 2.13.0"}, "it has peft not at all and the server 0.19.1"),
        ({"versions": "torch 2.13.0, peft 0.19.1, more 1"}, ""),
        ({"source": "d" * 64}, "of the source dddddddddddd and the server's of aaaaaaaaaaaa"),
        ({"configuration": "d" * 64}, "it composes another configuration"),
        ({"base": "d" * 64}, "has the fingerprint dddddddddddd and the server's cccccccccccc"),
    ],
)
def test_the_first_difference_is_named_with_both_sides(changes, words) -> None:
    difference = OWN.difference(replace(EQUAL, **changes))
    assert words in difference and bool(words) == bool(difference)


def test_a_build_for_another_device_is_the_same_version(monkeypatch) -> None:
    monkeypatch.setattr(handshake.importlib.metadata, "version", lambda name: "2.13.0+cu126")
    assert ("torch", "2.13.0") in handshake.versions(compose({}))


def test_the_base_is_what_nobody_trains_and_each_of_its_numbers_counts(small) -> None:
    config = compose({"overrides": " ".join(small)})
    model = load_resident(config, torch.device("cpu"))
    before = fingerprints(config, model)
    again = load_resident(config, torch.device("cpu"))
    with torch.no_grad():
        for parameter in again._tensors.values():
            parameter.add_(1)
    assert again.base_fingerprint == before.base, "trained tensors are no part of the base"
    other = load_resident(config, torch.device("cpu"))
    trained = {id(parameter) for parameter in other._tensors.values()}
    frozen = [p for p in other.vlm.module.parameters() if id(p) not in trained]
    with torch.no_grad():
        frozen[-1].reshape(-1)[-1] += 1e-3
    assert other.base_fingerprint != before.base
    assert OWN.source != before.source == handshake.source()
    assert len(before.source) == len(before.configuration) == len(before.base) == 64
