"""Several questions on one picture: what stands before them is computed once."""

from collections.abc import Sequence

from fedvlm_flwr.models.vlm import Features


def distinct_pictures(features: Sequence[Features]) -> tuple[list[Features], list[int]]:
    """The pictures of rows without those that are there twice, and the number of each row's.

    The same picture is the same object, as `FeatureCache` gives it.
    """
    distinct = list({id(row): row for row in features}.values())
    number = {id(row): i for i, row in enumerate(distinct)}
    return distinct, [number[id(row)] for row in features]


def common_start(rows: Sequence[Sequence[int]], image_id: int, pictures: int) -> int:
    """How many token ids, up to the picture, all prompts begin with; 0: it is not worth a pass.

    Args:
        rows: token ids of each prompt.
        image_id: what stands for the picture.
        pictures: how many distinct ones there are.
    """
    first = list(rows[0])
    if 2 * pictures > len(rows) or first.count(image_id) != 1:
        return 0
    start = first.index(image_id) + 1
    alike = all(
        list(row[:start]) == first[:start] and len(row) > start and image_id not in row[start:]
        for row in rows
    )
    return start if alike else 0
