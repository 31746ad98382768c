"""What all sources read their files with."""

import gzip
from pathlib import Path

import pytest

from fedvlm_flwr.data.sources.base import read_csv, read_lines
from fedvlm_flwr.errors import DataError


def test_a_line_ends_where_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_bytes("one\r\ntwo\u2028and a half\n\nfour\n".encode())
    assert read_lines(path, "questions") == ["one", "two\u2028and a half", "", "four"]


def test_packed_tables_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "split.csv.gz"
    path.write_bytes(gzip.compress(b"id,split\n1,train\n"))
    assert list(read_csv(path, ["id", "split"], "a split")) == [{"id": "1", "split": "train"}]


@pytest.mark.parametrize("cut", [5, 30, 60])
def test_a_cut_table_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "split.csv.gz"
    whole = gzip.compress(b"id,split\n" + b"".join(b"%d,train\n" % i for i in range(1000)))
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"split\.csv\.gz"):
        list(read_csv(path, ["id"], "a split"))
    path.write_bytes(whole[:cut] + b"\0" * 50 + whole[cut + 50 :])
    with pytest.raises(DataError, match=r"split\.csv\.gz"):
        list(read_csv(path, ["id"], "a split"))
