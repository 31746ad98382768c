"""Training examples by row: read once, as long as they are few enough to keep."""

from dataclasses import replace

import pytest

from fedvlm_flwr.data import clients
from fedvlm_flwr.data.clients import training_examples
from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.errors import DataError


@pytest.fixture
def read(monkeypatch):
    """The rows that are read, reading after reading; three examples are kept."""
    calls = []

    def watched(table, root, rows, *more, **facts):
        calls.append(list(rows))
        return examples(table, root, rows, *more, **facts)

    monkeypatch.setattr(clients, "examples", watched)
    monkeypatch.setattr(clients, "EXAMPLES_KEPT", 3)
    return calls


def test_rows_are_read_once_and_given_in_the_order_asked_for(small_easyvqa, read):
    data = replace(small_easyvqa)  # which remembers nothing
    table = examples(data.train, data.root, range(5), data.box_decimals)
    assert training_examples(data, [4, 1]) == [table[4], table[1]]
    assert training_examples(data, [1, 0, 4]) == [table[1], table[0], table[4]]
    assert read == [[4, 1], [0]]


def test_more_than_are_kept_are_read_anew(small_easyvqa, read):
    data = replace(small_easyvqa)
    table = examples(data.train, data.root, range(5), data.box_decimals)
    training_examples(data, [0, 1])
    assert training_examples(data, [1, 2, 3, 2]) == [table[1], table[2], table[3], table[2]]
    assert training_examples(data, range(5)) == table
    assert training_examples(data, [2]) == [table[2]]
    assert training_examples(data, range(5)) == table
    assert len(data.examples_read) == 3
    assert read == [[0, 1], [2, 3], [0, 1, 4], [2], [0, 1, 3, 4]]


def test_a_picture_that_is_gone_is_told_again_of_an_example_that_was_read(small_easyvqa, tmp_path):
    (one,) = examples(small_easyvqa.train, small_easyvqa.root, [0])
    place = tmp_path / one.image.relative_to(small_easyvqa.root)
    place.parent.mkdir(parents=True)
    place.write_bytes(one.image.read_bytes())
    data = replace(small_easyvqa, root=tmp_path)
    training_examples(data, [0])
    place.unlink()
    with pytest.raises(DataError, match=r"of record .* cannot be read"):
        training_examples(data, [0])
