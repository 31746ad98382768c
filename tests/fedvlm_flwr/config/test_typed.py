"""typed: a plain mapping becomes a frozen dataclass, or a ConfigError that names the key."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.config import typed
from fedvlm_flwr.errors import ConfigError


@dataclass(frozen=True)
class Wheel:
    radius: float
    spokes: int = 32


@dataclass(frozen=True)
class Bicycle:
    name: str
    wheels: list[Wheel]
    colours: dict[str, str]
    bell: Wheel | None = None
    gears: int | None = None
    folding: bool = False
    notes: Any = None
    bags: list[str] = field(default_factory=list)


def test_nested_dataclasses_lists_and_mappings() -> None:
    values = {
        "name": "swift",
        "wheels": [{"radius": 3, "spokes": 8}, {"radius": 0.5}],
        "colours": {"frame": "red"},
        "gears": None,
        "folding": True,
        "notes": {"any": [1, "thing"]},
    }
    assert typed(Bicycle, values, "bike") == Bicycle(
        "swift",
        [Wheel(3.0, 8), Wheel(0.5, 32)],
        {"frame": "red"},
        folding=True,
        notes={"any": [1, "thing"]},
    )


def test_optional_dataclass_is_built_too() -> None:
    values = {"name": "a", "wheels": [], "colours": {}, "bell": {"radius": 1}, "gears": 3}
    bicycle = typed(Bicycle, values, "bike")
    assert bicycle.bell == Wheel(1.0)
    assert bicycle.gears == 3


FINE: dict[str, Any] = {"name": "a", "wheels": [{"radius": 1.0}], "colours": {}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"wheels": [{"radius": 1}, {"radius": "big"}]}, ["bike.wheels[1].radius", "big", "float"]),
        ({"wheels": [{"radius": 1, "spoke": 3}]}, ["bike.wheels[0].spoke", "radius, spokes"]),
        ({"wheels": [{"spokes": 3}]}, ["bike.wheels[0].radius", "not set"]),
        ({"wheels": {"radius": 1}}, ["bike.wheels"]),
        ({"wheels": [3]}, ["bike.wheels[0]=3", "mapping"]),
        ({"wheels": None}, ["bike.wheels=None"]),
        ({"colours": {"frame": [1]}}, ["bike.colours.frame", "[1]", "str"]),
        ({"colours": ["red"]}, ["bike.colours"]),
        ({"bell": 3}, ["bike.bell=3"]),
        ({"gears": 2.5}, ["bike.gears=2.5", "int"]),
        ({"gears": True}, ["bike.gears=True", "int"]),
        ({"folding": 1}, ["bike.folding=1", "bool"]),
        ({"folding": "yes"}, ["bike.folding='yes'", "bool"]),
        ({"name": None}, ["bike.name=None", "str"]),
        ({"bags": "one"}, ["bike.bags='one'"]),
        ({"wings": 2}, ["bike.wings", "name, wheels, colours"]),
    ],
)
def test_refusal_names_place_and_value(change: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        typed(Bicycle, FINE | change, "bike")
    assert [word for word in named if word not in str(refusal.value)] == [], str(refusal.value)


def test_top_level_keys_have_no_prefix() -> None:
    with pytest.raises(ConfigError, match=r"Unknown key wings;"):
        typed(Wheel, {"radius": 1, "wings": 2}, "")


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"bike=None must be a mapping"):
        typed(Wheel, None, "bike")  # type: ignore[arg-type]


def test_own_checks_of_the_dataclass_come_through() -> None:
    @dataclass(frozen=True)
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ConfigError(f"number={self.number} is odd")

    assert typed(Even, {"number": 4}, "").number == 4
    with pytest.raises(ConfigError, match="number=3 is odd"):
        typed(Even, {"number": 3}, "")


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
    )
)
def test_a_whole_number_is_taken_and_nothing_else(value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        assert typed(Wheel, {"radius": 1, "spokes": value}, "").spokes == value
    else:
        with pytest.raises(ConfigError, match="spokes"):
            typed(Wheel, {"radius": 1, "spokes": value}, "")
