"""What a continuation starts from."""

import numpy as np

from strategies.core.state import ServerState

ONE, TWO = np.ones(1, np.float32), np.full(1, 2, np.float32)


def test_sections_are_apart_even_where_names_begin_alike() -> None:
    state = ServerState({"w": ONE})
    assert state.section("m") == {}
    state.replace_section("m", {"w": ONE, "a/b": ONE})
    state.replace_section("momentum", {"w": TWO})
    assert state.server.keys() == {"m/w", "m/a/b", "momentum/w"}
    assert state.section("m") == {"w": ONE, "a/b": ONE}
    assert state.section("momentum") == {"w": TWO}
    state.replace_section("m", {"v": TWO})
    assert state.section("m") == {"v": TWO}
    assert state.section("momentum") == {"w": TWO}
    state.replace_section("m", {})
    assert state.server.keys() == {"momentum/w"}
    assert state.arrays == {"w": ONE}


def test_two_states_share_nothing() -> None:
    first, second = ServerState({}), ServerState({})
    first.saved_rounds[0] = 1
    first.server["m/w"] = ONE
    assert second == ServerState({})
