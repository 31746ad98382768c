"""What stays with a client between rounds."""

import numpy as np
import pytest

from client_app.private import OwnState, PrivateState
from fedvlm_flwr.errors import RequestError, RunError

OWN, KEPT = {"connector.w": np.float32([1, 2])}, {"c": np.float32([3])}


def test_what_is_kept_comes_back_by_round(tmp_path):
    state = PrivateState(tmp_path, "a", 3, 0)
    assert state.load(0) == OwnState()
    assert state.save(1, OwnState(OWN, KEPT))
    assert state.save(2, OwnState(hook={"c": np.float32([4])}, rounding=OWN))
    memory = state.load(1)
    np.testing.assert_array_equal(memory.tensors["connector.w"], [1, 2])
    np.testing.assert_array_equal(memory.hook["c"], [3])
    assert memory.rounding == {} and state.load(2).hook["c"] == 4
    np.testing.assert_array_equal(state.load(2).rounding["connector.w"], [1, 2])


def test_nothing_to_keep_leaves_no_file(tmp_path):
    state = PrivateState(tmp_path, "a", 3, 0)
    assert not state.save(1, OwnState())
    assert not list(tmp_path.rglob("*"))


def test_rounds_before_the_one_in_use_are_removed_but_the_newest_of_them(tmp_path):
    """The server may go on from the checkpoint before its newest one."""
    state, other = PrivateState(tmp_path, "a", 3, 0), PrivateState(tmp_path, "a", 3, 1)
    for number in (1, 2, 4, 5):
        state.save(number, OwnState(OWN))
    other.save(1, OwnState(OWN))
    state.forget_before(4)
    assert not state.path(1).exists()
    assert all(state.path(number).exists() for number in (2, 4, 5)) and other.path(1).exists()


def test_a_missing_or_damaged_file_is_named(tmp_path):
    state = PrivateState(tmp_path, "a", 3, 0)
    with pytest.raises(RunError, match=r"saved after round 4 cannot be used: .*client_3"):
        state.load(4)
    state.save(4, OwnState(OWN))
    state.path(4).write_bytes(b"rubbish")
    with pytest.raises(RunError, match=r"saved after round 4 cannot be used"):
        state.load(4)


def test_a_deposit_is_sent_once_and_saved_for_all_clients(tmp_path):
    named = {f"previous/{name}": values for name, values in OWN.items()}
    sent = PrivateState(tmp_path, "a", 3, 1).deposits("previous:1", named)
    saved = PrivateState(tmp_path, "a", 4, 1).deposits("previous:1", {})
    for each in (sent, saved):
        np.testing.assert_array_equal(each["previous"]["connector.w"], [1, 2])
    assert PrivateState(tmp_path, "a", 3, 0).deposits("", {}) == {}


def test_the_deposit_before_the_newest_stays(tmp_path):
    """A server may go on from the checkpoint before its newest one."""
    state = PrivateState(tmp_path, "a", 3, 0)
    for number in range(1, 5):
        state.deposits(f"lora_A:{number}", {"lora_A/x": OWN["connector.w"]})
    assert set(state.deposits("lora_A:3", {})) == {"lora_A"}
    with pytest.raises(RunError, match="of 'lora_A' cannot be used"):
        state.deposits("lora_A:2", {})


def test_parts_of_a_residual_that_one_has_replaced_are_removed(tmp_path):
    """Not before a round has been built on that one: the server may go on from before it."""
    state = PrivateState(tmp_path, "a", 3, 0)

    def use(*numbers):
        sent = {f"residual.{numbers[-1]}/x.lora_A": OWN["connector.w"]}
        state.deposits(" ".join(f"residual.{n}:{n}" for n in numbers), sent)
        return sorted(int(path.stem[-4:]) for path in tmp_path.glob("*residual*.safetensors"))

    assert use(1) == [1] and use(1, 2) == [1, 2]
    assert use(3) == [1, 2, 3]
    assert use(3, 4) == [3, 4] and use(3, 4, 5) == [3, 4, 5]
    assert use(6) == [3, 4, 5, 6] and use(7) == [6, 7]


def test_a_client_that_was_never_sent_one_says_so(tmp_path):
    with pytest.raises(RunError, match="saved of 'previous' cannot be used"):
        PrivateState(tmp_path, "a", 3, 2).deposits("previous:2", {})


@pytest.mark.parametrize("uses", ["../../x:1", "a/b:1", "x", "x:-1", "x.y:1", ":1"])
def test_a_deposits_name_is_never_a_path(tmp_path, uses):
    with pytest.raises(RequestError, match="names a deposit"):
        PrivateState(tmp_path, "a", 3, 0).deposits(uses, {})


def test_a_file_of_another_client_round_or_run_is_told(tmp_path):
    """As where somebody copies one client's file over another's."""
    state, other = PrivateState(tmp_path, "a", 3, 0), PrivateState(tmp_path, "a", 0, 0)
    state.save(4, OwnState(OWN))
    other.save(4, OwnState(OWN))
    for source, target in ((other, state.path(4)), (state, state.path(5))):
        target.write_bytes(source.path(4).read_bytes())
    for number in (4, 5):
        with pytest.raises(RunError, match=f"saved after round {number} .*is of .* and not of"):
            state.load(number)
    state.save(4, OwnState(OWN))
    with pytest.raises(RunError, match=r'"run": "a".* and not of .*"run": "b"'):
        PrivateState(tmp_path, "b", 3, 0).load(4)


def test_a_changed_number_is_told(tmp_path):
    state = PrivateState(tmp_path, "a", 3, 0)
    state.save(4, OwnState(OWN))
    whole = state.path(4).read_bytes()
    state.path(4).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match="has changed since it was written"):
        state.load(4)
