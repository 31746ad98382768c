"""What the machine refuses, in one sentence."""

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fedvlm_flwr.machine_errors import CURES, machine_sentence


@pytest.mark.parametrize("number", CURES)
def test_a_refusal_is_named_with_its_place_and_cure(number):
    sentence = machine_sentence(OSError(number, os.strerror(number), "/x/y"))
    assert sentence == f"{os.strerror(number)}: /x/y; {CURES[number]}."


def test_as_the_machine_says_it(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / ("x" * 300)).touch()
    assert str(machine_sentence(caught.value)).startswith("File name too long: ")
    with pytest.raises(OSError) as caught, open("/dev/full", "w") as full:  # noqa: PTH123
        full.write("x")
        full.flush()
    assert str(machine_sentence(caught.value)).startswith("No space left on device; make room")


def test_safetensors_own_errors_are_read() -> None:
    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert machine_sentence(SafetensorError(text)) == machine_sentence(OSError(errno.ENOSPC, ""))


def test_what_is_not_the_machines_is_left_to_others() -> None:
    assert machine_sentence(ValueError("No space left")) is None
    assert machine_sentence(FileNotFoundError(errno.ENOENT, "No such file", "/x")) is None
    assert machine_sentence(OSError("no number")) is None
