"""What is not parted when records are drawn or assigned: those that show the same picture."""

from collections.abc import Collection, Sequence


def joined(records: Sequence[Collection[str]]) -> list[str]:
    """The group of each record: those that share a picture, by themselves or through others.

    Args:
        records: the pictures of each record; one without any is a group of its own.

    Returns:
        The name of each record's group: the first of its pictures in the order of names.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            above[name] = above[higher]  # so that chains stay short
            name = higher
        return name

    for pictures in records:
        tops = sorted({top(name) for name in pictures})
        above.update(dict.fromkeys(tops, tops[0] if tops else ""))
    return [top(next(iter(own))) if own else f"record {i}" for i, own in enumerate(records)]
