"""Every module that is found by its name keeps its contract, and one that does not is told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedvlm_flwr import contracts
from fedvlm_flwr.config.choice import GROUPS, params_class
from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.data.load import SETS, dataset_kind
from fedvlm_flwr.data.partitions import partition_kind
from fedvlm_flwr.data.sources import source_module
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import model_kind, require_whole_model
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.plugins import available, load_as
from fedvlm_flwr.tasks import load_task, task_names
from fedvlm_flwr.tasks.conventions import convention_names, load_convention
from tests.facts import declared

ROOMS: dict[str, tuple[list[str], Callable[[str], Any]]] = {
    "model": (available("fedvlm_flwr.models", "kind"), model_kind),
    "dataset": (available(SETS), dataset_kind),
    "partition": (available("fedvlm_flwr.data.partitions"), partition_kind),
    "source": (available("fedvlm_flwr.data.sources"), source_module),
    "task": (task_names(), load_task),
    "convention": (convention_names(), load_convention),
}
REFERENCES = declared("tests.fedvlm_flwr.tasks", task_names(), "REFERENCES")


def modules() -> Iterator[Any]:
    for room, (names, load) in ROOMS.items():
        yield from (pytest.param(room, name, load, id=f"{room} {name}") for name in names)


@pytest.mark.parametrize(("room", "name", "load"), modules())
def test_every_module_keeps_its_contract(room: str, name: str, load: Callable[[str], Any]) -> None:
    module = load(name)
    if room in GROUPS:
        own = params_class(room, name)
        assert room != "model" or issubclass(own, Loading)
    if room == "dataset":
        assert {"answer_tokens", "conventions", "headlines"} <= own.__dataclass_fields__.keys()
    if room == "task":
        assert {"question", "answer"} >= module.BOXES_IN
        references = REFERENCES[name]
        assert module.HEADLINE in module.score(references, references)


def test_engines_and_commands_keep_theirs() -> None:
    for name in available("fedvlm_flwr.engines"):
        load_as(contracts.EngineKind, "fedvlm_flwr.engines", name, "engine")
    for name in available("fedvlm_flwr.cli"):
        load_as(contracts.Command, "fedvlm_flwr.cli", name, "command")


def test_a_module_that_lacks_something_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "half_rooms"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "mine.py").write_text("HEADLINE = 'a'\nscore = 3\ndef each(*_): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as refusal:
        load_as(contracts.Task, "half_rooms", "mine", "task")
    assert str(refusal.value) == (
        "The task 'mine' (half_rooms.mine) lacks BOXES_IN, score(), majority(); write it as Task "
        "in fedvlm_flwr/contracts.py says."
    )


class Bare(VLM):
    """A model of a network without a configuration, that sets what `VLM` says but `base`."""

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Linear(2, 2))
        self.parts = {"llm": "0"}
        self.lora_targets = ("0",)
        self.fingerprint = "none"
        self.device = torch.device("cpu")

    features = encode = answer_length = loss = generate = lambda *_: None  # type: ignore[assignment]


def test_a_model_that_could_not_be_saved_is_told_when_it_is_loaded() -> None:
    model = Bare()
    with pytest.raises(ModelError, match="kind 'bare' gives a model without base, which a run or"):
        require_whole_model(model, "bare")
    model.base = ""
    require_whole_model(model, "bare")
    model.parts = {"llm": "model.llm"}
    with pytest.raises(ModelError, match=r"names its part 'llm' at 'model\.llm'"):
        require_whole_model(model, "bare")
