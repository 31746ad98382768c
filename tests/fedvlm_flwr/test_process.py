"""What a process keeps, and that it makes each thing once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fedvlm_flwr.process import Once, Process, this_process
from tests import forms

CPU = torch.device("cpu")


def test_threads_that_ask_together_get_one_value() -> None:
    once: Once[object] = Once()
    made: list[object] = []

    def make() -> object:
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    values: list[object] = []
    threads = [threading.Thread(target=lambda: values.append(once.get("a", make))) for _ in "12345"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and set(map(id, values)) == {id(made[0])}


def test_the_oldest_goes_before_the_next_is_made() -> None:
    once: Once[str] = Once(most=1)
    held: list[list[str]] = []
    for key in "aab":
        once.get(key, lambda k=key: held.append(list(once._values)) or k)  # type: ignore[misc,func-returns-value]
    assert held == [[], []]


def test_a_failure_is_not_kept() -> None:
    once: Once[int] = Once()
    answers: Iterator[int] = iter([1])
    with pytest.raises(ZeroDivisionError):
        once.get("a", lambda: 1 // 0)
    assert once.get("a", lambda: next(answers)) == 1


def test_one_base_is_held_and_loads_are_counted(small: list[str]) -> None:
    process = Process()
    first = process.compose({"overrides": " ".join(small)})
    other = process.compose({"overrides": " ".join([*small, "seed=1"])})
    model = process.model(first, CPU)
    assert process.model(first, CPU) is model
    assert process.model(other, CPU) is not model
    assert process.model(first, CPU) is not model
    assert process.model_loads == process.usage()["model_loads"] == 3
    assert process.usage()["peak_memory_bytes"] > 10**7


def test_a_process_has_one_owner_and_others_share_nothing_with_it() -> None:
    assert this_process() is this_process()
    config = this_process().compose({"seed": 77})
    assert Process().compose({"seed": 77}) == config
    assert Process().compose({"seed": 77}) is not config


def test_the_validation_records_take_the_test_set_s_place(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    for name, numbers in (("train", range(6)), ("val", range(6, 9)), ("test", range(9, 12))):
        forms.lines(tmp_path / f"{name}.jsonl", forms.flat(*numbers))
    words = f"dataset=folder dataset.root={tmp_path} dataset.task=vqa num_clients=2 eval.split="
    process = Process()
    for split, first in (("test", 9), ("validation", 6)):
        config = process.compose({"overrides": words + split})
        assert process.data(config).test["image"][:] == forms.NAMES[first : first + 3]
        assert sorted(row for own in process.test_shares(config) for row in own) == [0, 1, 2]
    without = process.compose({"overrides": "eval.split=validation"})
    held_out = process.data(without)
    whole = process.data(process.compose({}))
    assert 0 < len(held_out.test) == len(whole.train) - len(held_out.train)
    assert not set(held_out.test["image"]) & set(held_out.train["image"])


SPLITS = {
    "plain": [],
    "best": ["eval.keep=best"],
    "wide": ["eval.split=validation", "eval.validation_fraction=0.4"],
    "narrow": ["eval.split=validation", "eval.validation_fraction=0.2"],
}


@pytest.mark.parametrize(
    ("first", "then"), [(first, then) for first in SPLITS for then in SPLITS if first != then]
)
def test_clients_have_their_own_records_whatever_ran_before(
    small: list[str], first: str, then: str
) -> None:
    words = {name: {"overrides": " ".join([*small, *SPLITS[name]])} for name in (first, then)}
    process, alone = Process(), Process()
    for one in range(2):
        process.examples_of(process.compose(words[first]), one)
    config = process.compose(words[then])
    for one in range(2):
        examples = process.examples_of(config, one)
        assert examples == alone.examples_of(alone.compose(words[then]), one)
    assert process.test_shares(config) == alone.test_shares(config)


@pytest.mark.parametrize("split", SPLITS)
def test_tables_are_the_same_object_for_all_who_ask(small: list[str], split: str) -> None:
    process = Process()
    config = process.compose({"overrides": " ".join([*small, *SPLITS[split]])})
    assert process.data(config) is process.data(config)
