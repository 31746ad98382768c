"""Choices found by module name."""

import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available, load_module

PARTITIONS = "fedvlm_flwr.data.partitions"


def test_available_leaves_out_base_and_packages() -> None:
    assert {"dirichlet", "iid", "natural"} <= set(available(PARTITIONS))
    assert "base" not in available(PARTITIONS)
    assert "fedavg" in available("strategies")
    assert not {"base", "core"} & set(available("strategies"))
    assert available("strategies") == sorted(available("strategies"))


def test_loads_the_module() -> None:
    assert load_module(PARTITIONS, "iid", "partition").__name__ == f"{PARTITIONS}.iid"


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_module(PARTITIONS, "random", "partition")
    text = str(refusal.value)
    assert "partition 'random'" in text
    assert ", ".join(available(PARTITIONS)) in text


@pytest.mark.parametrize(
    "name",
    [
        *("base", "core", "", ".iid", "iid.py", "../iid", "fedvlm_flwr.errors", "__init__"),
        *("iid\n", "IID", "_iid", "iid/", "os", "iid:load", "None"),
    ],
)
def test_what_is_no_plain_choice_is_refused(name: str) -> None:
    for package in (PARTITIONS, "strategies"):
        with pytest.raises(ConfigError, match="choose one of"):
            load_module(package, name, "choice")
