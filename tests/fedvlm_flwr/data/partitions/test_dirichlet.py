"""Label skew by Dirichlet-drawn shares."""

from collections import Counter

import pytest
from datasets import Dataset

from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.data.records import UNIT
from fedvlm_flwr.errors import ConfigError
from tests import choices

PARAMS = {"alpha": 5.0, "by": "organ"}
MAY_REFUSE = True


def table(pictures: int) -> Dataset:
    """`pictures` of two organs in turn, with a question and a box each."""
    rows = [
        {"image": str(i), "organ": ("lung", "liver")[i % 2], "task": task}
        for i in range(pictures)
        for task in ("vqa", "detection")
    ]
    return Dataset.from_list(rows)


def largest_share(data: Dataset, parts: list[list[int]]) -> float:
    """The share that the most frequent organ of a client has in its rows, averaged by rows."""
    organs = data["organ"][:]
    most = [Counter(organs[row] for row in part).most_common(1)[0][1] for part in parts]
    return sum(most) / len(data)


def test_a_small_alpha_is_more_uneven_than_a_large_one() -> None:
    data = table(400)
    shares = {
        alpha: largest_share(
            data,
            partition_table(
                choices.partition("dirichlet", {"alpha": alpha, "by": "organ"}), data, 4, 3
            ),
        )
        for alpha in (0.3, 1000.0)
    }
    assert shares[1000.0] < 0.55
    assert shares[0.3] > 0.7


def test_another_seed_deals_otherwise() -> None:
    data = table(100)
    first, second = (
        partition_table(
            choices.partition("dirichlet", {"alpha": 1.0, "by": "organ"}), data, 3, seed
        )
        for seed in (0, 1)
    )
    assert first != second


def test_tasks_are_dealt_by_row_because_a_picture_has_several() -> None:
    data = table(100)
    parts = partition_table(
        choices.partition("dirichlet", {"alpha": 1.0, "by": "task"}), data, 3, 0
    )
    holders = Counter(image for part in parts for image in {data[row]["image"] for row in part})
    assert max(holders.values()) == 2


@pytest.mark.parametrize("alpha", [0, -1.0, float("inf"), float("nan")])
def test_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"partition\.alpha=.* must be in"):
        partition_table(
            choices.partition("dirichlet", {"alpha": alpha, "by": "organ"}), table(10), 2, 0
        )


@pytest.mark.filterwarnings("error")
def test_an_empty_client_says_which_knob_to_turn() -> None:
    with pytest.raises(ConfigError, match=r"raise partition\.alpha or lower num_clients"):
        partition_table(
            choices.partition("dirichlet", {"alpha": 0.001, "by": "organ"}), table(40), 8, 0
        )


def test_a_field_that_is_kept_together_cannot_be_spread_whatever_alpha_is() -> None:
    data = table(40)
    patients = [f"p{row // 4}" for row in range(len(data))]
    data = data.add_column("patient", patients).add_column(UNIT, patients)
    choice = choices.partition("dirichlet", {"alpha": 100.0, "by": "patient"})
    with pytest.raises(ConfigError, match=r"by=patient is what dataset\.group_by .*partition\.by"):
        partition_table(choice, data, 3, 0)
    spread = choices.partition("dirichlet", {"alpha": 100.0, "by": "organ"})
    assert len(partition_table(spread, data, 3, 0)) == 3
