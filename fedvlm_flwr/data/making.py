"""Make a dataset of the published layout from raw sources."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from fedvlm_flwr.config import make_choice
from fedvlm_flwr.contracts import SplitsByPicture
from fedvlm_flwr.data.clients import assign_alike
from fedvlm_flwr.data.layout import TEST, TRAIN
from fedvlm_flwr.data.making_settings import Making
from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.data.sources import source_module
from fedvlm_flwr.data.sources.base import PICTURE, Item
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.seeding import stream


@dataclass(frozen=True)
class Assignment:
    """A dataset before it is written.

    Attributes:
        items: with their sources, training items first.
        client: whose each item is.
    """

    items: list[tuple[str, Item]]
    client: list[int]

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return max(self.client) + 1

    def counts(self) -> list[tuple[str, int, str, int]]:
        """Records by (split, client, task), sorted."""
        pairs = zip(self.items, self.client, strict=True)
        numbers = Counter((item.split, client, item.task) for (_, item), client in pairs)
        return [(*key, number) for key, number in sorted(numbers.items())]


def assign(raw: Path, settings: Making, tell: Callable[[str], None]) -> Assignment:
    """Read all sources and assign their items to clients.

    Args:
        raw: the folder of the sources.
        settings: its sources, and how their items are assigned.
        tell: is told what has been read.

    Raises:
        ConfigError: a value of `settings` cannot be satisfied.
        DataError: a source's files cannot be read, or give nothing.
    """
    pairs: list[tuple[str, Item]] = []
    for name, source in settings.sources.items():
        module = source_module(name)
        folder = (raw / source.folder).resolve()
        if not folder.is_dir():
            raise DataError(
                f"There is no folder {folder} for the source {name}; put it there, or set "
                f"dataset.making.sources.{name}.folder."
            )
        items, left_out = _read(module.read(folder, source.reading))
        selection = sample(items, source.limit, settings.seed, name)
        tell(f"{name}: {len(items)} questions in {folder}, {len(selection)} taken")
        if left_out:
            reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.most_common())
            tell(f"{name}: {left_out.total()} records of the source left out ({reasons})")
        if note := straddling(name, selection, source.reading):
            tell(f"{name}: {note}")
        pairs += [(name, item) for item in selection]
    return assign_items(pairs, settings)


def straddling(name: str, items: Sequence[Item], reading: object) -> str:
    """What is to be known of pictures in both splits, and the cure; empty where there are none.

    Args:
        name: of the source.
        items: that are taken of it.
        reading: the source's own settings.
    """
    pictures = [{item.image for item in items if item.split == split} for split in (TRAIN, TEST)]
    both = len(set.intersection(*pictures))
    if not both:
        return ""
    note = (
        f"{both:,} of {len(set.union(*pictures)):,} pictures are asked about in training and test"
    )
    if isinstance(reading, SplitsByPicture):
        key = f"dataset.making.sources.{name}.reading.split={PICTURE}"
        return f"{note}, where its languages split them differently; one split for all: {key}"
    return f"{note} (dataset.shared_pictures=allow keeps them)"


def _read(items: Iterator[Item]) -> tuple[list[Item], Counter[str]]:
    """A source's items, and how many are left out by reason: its own, or no answer."""
    every: list[Item] = []
    empty = 0
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            return every, Counter(end.value) + Counter({"no answer": empty})
        if any(sign.isalnum() for sign in item.answer):
            every.append(item)
        else:
            empty += 1


def assign_items(pairs: Sequence[tuple[str, Item]], settings: Making) -> Assignment:
    """Assign items, each with its source's name, to clients.

    Raises:
        ConfigError: more clients than pictures of a group.
        DataError: a split is empty, or an item lacks the field that tells the clients.
    """
    ordered = sorted(pairs, key=lambda pair: pair[1].split == TEST)  # stable: training first
    return Assignment(ordered, _clients([item for _, item in ordered], settings))


def sample(items: Sequence[Item], limit: Mapping[str, int], seed: int, name: str) -> list[Item]:
    """At most `limit[split]` items of each task, in their order; the same ones for a seed.

    Raises:
        ConfigError: `limit` names another split than train and test, or a number below 1.
    """
    for split, most in limit.items():
        if split not in (TRAIN, TEST) or most < 1:
            raise ConfigError(
                f"dataset.making.sources.{name}.limit.{split}={most}: set train and test, each to "
                "at least 1."
            )
    places: dict[tuple[str, str], list[int]] = {}
    for i, item in enumerate(items):
        places.setdefault((item.split, item.task), []).append(i)
    picks: set[int] = set()
    for (split, task), members in places.items():
        most = min(limit.get(split, len(members)), len(members))
        chooser = stream(seed, f"sample {name} {task} {split}")
        picks.update(chooser.choice(members, most, replace=False).tolist())
    return [item for i, item in enumerate(items) if i in picks]


def _clients(items: Sequence[Item], settings: Making) -> list[int]:
    """Whose each item is: training items by their group, test items in the same proportions."""
    values = [_value(item, settings.clients_by) for item in items]
    table = Dataset.from_dict({"image": [item.image for item in items], "group": values})
    number_of_training = sum(item.split == TRAIN for item in items)
    if number_of_training in (0, len(items)):
        missing = TEST if number_of_training else TRAIN
        raise DataError(f"The sources give no {missing} record; check their splits.")
    train = table.select(range(number_of_training))
    test = table.select(range(number_of_training, len(items)))
    clients = settings.clients or len(set(train["group"]))
    natural = make_choice("partition", {"name": "natural", "by": "group", "split_groups": True})
    shares = partition_table(natural, train, clients, settings.seed)
    test_shares = assign_alike(train, shares, test, "group", settings.seed)
    client = [0] * len(items)
    for k, (own, own_test) in enumerate(zip(shares, test_shares, strict=True)):
        for row in [*own, *(number_of_training + row for row in own_test)]:
            client[row] = k
    return client


def _value(item: Item, by: str) -> str:
    if by == "task":
        return item.task
    if not item.fields.get(by):
        raise DataError(
            f"Record {item.id} has no {by}; set dataset.making.clients_by to a field of the "
            f"source (it has: {', '.join([*item.fields, 'task'])})."
        )
    return item.fields[by]
