"""Pictures at random, equally many."""

import numpy as np
from datasets import Dataset
from flwr_datasets.partitioner import IidPartitioner

from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.data.partitions.base import Units, assign, assign_iid
from tests import choices

PARAMS: dict[str, object] = {}


def test_iid_parts_depend_on_the_seed_and_are_even() -> None:
    rows = [
        {"image": str(i), "organ": ("lung", "liver")[i // 50], "task": task}
        for i in range(100)
        for task in ("vqa", "detection")
    ]
    data = Dataset.from_list(rows)
    one, other = (partition_table(choices.partition("iid", {}), data, 4, seed) for seed in (0, 1))
    assert one != other
    assert [len(part) for part in one] == [50] * 4  # 25 pictures of two rows
    assert all({data[row]["organ"] for row in part} == {"lung", "liver"} for part in one)


def test_iid_parts_are_those_of_flwr_datasets() -> None:
    rows = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(101)]
    theirs = assign(IidPartitioner(8), Units(rows, [""] * 101), 8, np.random.default_rng(0))
    assert assign_iid(rows, 8, np.random.default_rng(0)) == theirs
