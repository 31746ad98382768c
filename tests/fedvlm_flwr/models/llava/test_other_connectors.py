"""A tiny LLaVA with another connector than the one that was pretrained with it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model, prepared_model
from fedvlm_flwr.models.llava.connectors import Connector
from tests import choices

CPU = torch.device("cpu")
NAMES = {"linear": 1, "mlp2x_gelu": 2, "mlp6x_gelu": 6}  # by layers
CONNECTOR = "model.multi_modal_projector."


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A $FEDVLM_HOME of the test's own."""
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def choice(**changes: object):
    params: dict[str, Any] = yaml.safe_load((choices.CONF / "model/tiny_llava.yaml").read_text())
    del params["name"], params["kind"]
    return choices.model("tiny_llava", "llava", {**params, **changes})


def made(**changes: object):
    prepare_model(choice(**changes))
    return load_model(choice(**changes), CPU)


def layers(connector: Any) -> list[Any]:
    return [layer for layer in connector.modules() if isinstance(layer, torch.nn.Linear)]


@pytest.mark.parametrize(("name", "count"), NAMES.items())
def test_it_is_fresh_and_nothing_else_is(name, count):
    shipped, other = made(), made(connector=name)
    assert len(layers(other.connector)) == count
    old, new = shipped.module.state_dict(), other.module.state_dict()
    rest = [key for key in old if not key.startswith(CONNECTOR)]
    assert rest == [key for key in new if not key.startswith(CONNECTOR)]
    assert all(torch.equal(old[key], new[key]) for key in rest)
    assert (shipped.untrained, other.untrained) == ((), ("connector",))
    assert other.fingerprint == shipped.fingerprint  # the vision tower's features are shared
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = Connector(name, 128, 128)  # as torch starts linear layers, in this order
    for ours, theirs in zip(layers(other.connector), layers(fresh), strict=True):
        for key in ("weight", "bias"):
            assert torch.equal(getattr(ours, key), getattr(theirs, key).half().float())


def test_every_machine_starts_from_the_same_one_and_another_seed_from_another(
    home, tmp_path, monkeypatch
):
    here = made(connector="mlp6x_gelu", connector_seed=3)
    torch.manual_seed(99)  # whatever was drawn before
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "another machine"))
    there = made(connector="mlp6x_gelu", connector_seed=3)
    assert Path(here.base).parent != Path(there.base).parent
    first, second = here.connector.state_dict(), there.connector.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = made(connector="mlp6x_gelu", connector_seed=4)
    assert not torch.equal(layers(other.connector)[0].weight, layers(here.connector)[0].weight)


def test_the_shipped_model_is_what_it_was_and_nothing_is_made_for_it(home):
    made(connector_seed=5)  # of no connector that is fresh
    assert not (home / "models").exists()
    made(connector="linear")
    (folder,) = (home / "models").glob("tiny_llava-*")
    assert prepared_model(choice(connector="linear")) == folder
    assert prepared_model(choice()).parent != folder.parent


def test_it_is_counted_as_it_is():
    network = model_skeleton(choice(connector="mlp6x_gelu")).module.state_dict()
    real = made(connector="mlp6x_gelu").module.state_dict()
    assert {k: v.shape for k, v in network.items()} == {k: v.shape for k, v in real.items()}


def test_it_starts_from_a_file(tmp_path):
    path = tmp_path / "connector.safetensors"
    trained = {k: v + 1 for k, v in made(connector="linear").connector.state_dict().items()}
    save_file(trained, path)
    model = made(connector="linear", connector_weights=str(path))
    assert torch.equal(model.connector[0].bias, trained["0.bias"].half().float())
    assert model.untrained == ()
    with pytest.raises(ModelError, match=r"connector\.safetensors lacks linear_1"):
        made(connector="mlp2x_gelu", connector_weights=str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"connector": "mlp1x_gelu"}, "mlp1x_gelu"),
        ({"connector_weights": "x.safetensors"}, "name the connector that they are of"),
        ({"checkpoint": "x/y", "tiny": None, "connector": "linear"}, "connector of its own"),
    ],
)
def test_what_does_not_go_together_is_named(change, said):
    with pytest.raises(ConfigError, match=said):
        choice(**change)
