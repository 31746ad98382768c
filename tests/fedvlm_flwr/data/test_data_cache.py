from pathlib import Path
from threading import Barrier, Thread

import pytest
from datasets import Dataset

from fedvlm_flwr.data.cache import cached_tables
from fedvlm_flwr.errors import DataError


def tables() -> dict[str, Dataset]:
    big = Dataset.from_dict({"n": list(range(100)), "words": [["a", str(i)] for i in range(100)]})
    return {"train": big, "test": big.select([5, 3])}


def never() -> dict[str, Dataset]:
    raise AssertionError("the tables were built again")


def test_the_second_call_reads_what_the_first_one_wrote(tmp_path: Path) -> None:
    built = cached_tables(tmp_path / "home" / "set", tables)
    read = cached_tables(tmp_path / "home" / "set", never)
    assert read.keys() == built.keys() == {"train", "test"}
    assert read["train"].features == tables()["train"].features
    assert read["test"][:] == {"n": [5, 3], "words": [["a", "5"], ["a", "3"]]}
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["set"]


def test_builders_at_the_same_time_get_the_same_tables(tmp_path: Path) -> None:
    barrier, read = Barrier(4), []

    def build() -> dict[str, Dataset]:
        barrier.wait(20)  # nobody has written before everybody builds
        return tables()

    def ask() -> None:
        read.append(cached_tables(tmp_path / "set", build)["test"][:])

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert read == [tables()["test"][:]] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cached_tables(tmp_path / "set", never)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["cut", "flipped", "lost", "manifest", "no manifest"])
def test_a_damaged_cache_names_the_folder_to_delete(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "set"
    cached_tables(folder, tables)
    data, manifest = folder / "train.arrow", folder / "sha256.json"
    whole = data.read_bytes()
    if fault == "cut":
        data.write_bytes(whole[:-8])  # only the end mark: Arrow itself would not notice
    elif fault == "flipped":
        data.write_bytes(whole[:900] + bytes([whole[900] ^ 1]) + whole[901:])
    elif fault == "lost":
        data.unlink()
    elif fault == "manifest":
        manifest.write_text("[")
    else:
        manifest.unlink()
    with pytest.raises(DataError, match=f"{folder} are damaged.*delete that folder"):
        cached_tables(folder, never)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="FEDVLM_HOME"):
        cached_tables(tmp_path / "file" / "set", tables)
