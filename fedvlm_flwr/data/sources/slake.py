"""SLAKE: bilingual questions about radiology pictures (Liu et al., 2021, arXiv 2102.09542).

    <raw>/train.json, validate.json, test.json    (the copy on the hub says validation.json)
    <raw>/imgs/xmlab1/source.jpg

A file is a list of `{"img_id", "img_name", "question", "answer", "q_lang", "location", "modality",
"answer_type", "base_type", "content_type", "triple", "qid"}`. Or a hub folder with the columns
image, question and answer, and those of the others that it has; without `q_lang`, all of it is
English.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedvlm_flwr.data.hub_rows import HubPictures, hub_columns, hub_rows, hub_splits, is_hub
from fedvlm_flwr.data.sources.base import (
    PICTURE,
    PUBLISHED,
    Item,
    key_of,
    read_json,
    require_some,
    text_of,
)
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.settings import setting

LANGUAGES = ("en", "zh")
FIELDS = {  # ours: SLAKE's key
    "organ": "location",
    "modality": "modality",
    "content_type": "content_type",
    "answer_type": "answer_type",
    "language": "q_lang",
}
SPLITS = ("train", "validate", "validation", "test")
SAME = {"validate": "validation", "validation": "validate"}


@dataclass(frozen=True)
class Params:
    """Which questions are taken."""

    languages: list[str]
    """Of en and zh."""
    train_splits: list[str]
    """SLAKE's own splits (train, validate, test) whose questions are training records."""
    test_splits: list[str]
    """Those that are test records."""
    split: str = field(metadata=setting(choices=(PUBLISHED, PICTURE)))
    """`published`: as the files say, where the languages split the pictures differently;
    `picture`: a picture that a test question of a taken language is about is in the test set with
    all its questions."""
    regions: dict[str, list[str]]
    """The field `region` of records, by the locations that it is made of."""

    def __post_init__(self) -> None:
        require_some("slake", "languages", self.languages, LANGUAGES)

    def region(self, location: str, where: str) -> str:
        """The region of the body that a location is in.

        Raises:
            DataError: it is in none; names the record's place.
        """
        for region, locations in self.regions.items():
            if location in locations:
                return region
        raise DataError(
            f"{where} is of the location '{location}', which is in none of the regions "
            f"{', '.join(self.regions)}; add it in dataset.making.sources.slake.reading.regions."
        )


def read(raw: Path, params: Params) -> Iterator[Item]:
    """The questions in the chosen languages.

    Raises:
        ConfigError: a language is asked of a hub folder that does not tell languages.
        DataError: a file is missing, is no JSON list, or a record lacks a key.
    """
    items = _in_published_splits(raw, params)
    if params.split == PUBLISHED:
        yield from items
        return
    every = list(items)
    tested = {item.image for item in every if item.split == "test"}
    yield from (replace(one, split="test") if one.image in tested else one for one in every)


def _in_published_splits(raw: Path, params: Params) -> Iterator[Item]:
    mirror = not any((raw / f"{name}.json").exists() for name in SPLITS) and is_hub(raw)
    pictures = HubPictures(raw) if mirror else None
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            if pictures is None:
                yield from _items(raw, split, name, params)
            else:
                yield from _hub_items(pictures, split, name, params)


def _items(raw: Path, split: str, name: str, params: Params) -> Iterator[Item]:
    path = raw / f"{name}.json"
    if name in SAME and not path.exists():
        other = raw / f"{SAME[name]}.json"
        path = other if other.exists() else path
    records = read_json(path, f"SLAKE's questions of the split {name}")
    if not isinstance(records, list):
        raise DataError(f"{path} holds no list of questions; download SLAKE again.")
    for i, record in enumerate(records):
        where = f"Record {i} of {path}"
        if key_of(record, "q_lang", where) not in params.languages:
            continue
        image = str(key_of(record, "img_name", where))
        yield Item(
            id=str(key_of(record, "qid", where)),
            split=split,
            task="vqa",
            picture=raw / "imgs" / image,
            image=f"slake/{image}",
            question=text_of(key_of(record, "question", where)),
            answer=text_of(key_of(record, "answer", where)),
            fields=_with_region(
                {ours: text_of(key_of(record, key, where)) for ours, key in FIELDS.items()},
                params,
                where,
            ),
        )


def _hub_items(pictures: HubPictures, split: str, name: str, params: Params) -> Iterator[Item]:
    raw, languages = pictures.folder, params.languages
    there = hub_columns(raw)
    fields = {ours: key for ours, key in FIELDS.items() if key in there}
    if "language" not in fields and languages != ["en"]:
        raise ConfigError(
            f"languages={languages} of the source slake cannot be told apart in {raw}, which has "
            "no column q_lang; set languages to [en], or take SLAKE's own files."
        )
    if name in SAME and name not in hub_splits(raw):
        name = SAME[name]
    for _, number, row in hub_rows(raw, ["image", "question", "answer", *fields.values()], [name]):
        if "language" in fields and row["q_lang"] not in languages:
            continue
        where = f"Row {number} of the split {name} in {raw}"
        picture, image = pictures.take(row["image"], where)
        yield Item(
            id=f"{name}-{number}",
            split=split,
            task="vqa",
            picture=picture,
            image=f"slake/{image}",
            question=text_of(row["question"]),
            answer=text_of(row["answer"]),
            fields=_with_region(
                {ours: text_of(row[key]) for ours, key in fields.items()}, params, where
            ),
        )


def _with_region(fields: dict[str, str], params: Params, where: str) -> dict[str, str]:
    """The fields with the region of the body, where they tell the location."""
    if not fields.get("organ"):
        return fields
    return {**fields, "region": params.region(fields["organ"], where)}
