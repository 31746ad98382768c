"""RefCOCO: sentences that point at one object of a picture (Yu et al., 2016, arXiv 1608.00272).

    <raw>/refs(unc).p       a pickle of Python 2: a list of references
    <raw>/instances.json    COCO's images, annotations (boxes in pixels) and categories

A reference is `{"ref_id", "ann_id", "image_id", "category_id", "split", "sentences": [{"sent_id",
"sent", "raw", "tokens"}], ...}`; RefCOCO+ has the same form. Pictures come from a COCO tree of 2014
or 2017.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fedvlm_flwr.data.sources.base import (
    Item,
    key_of,
    require,
    require_form,
    require_some,
)
from fedvlm_flwr.data.sources.coco import Instances, coco_pictures, read_instances
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.boxes import format_box
from fedvlm_flwr.settings import setting

T = TypeVar("T")

TASKS = ("captioning", "grounding")
SPLITS = ("train", "val", "testA", "testB")
SENTENCES = ("first", "all")
BROKEN = (  # what unpickling raises on a damaged file
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Params:
    """Which references are taken, how they are asked, and where the pictures are."""

    tasks: list[str]
    """Of grounding (where is what the sentence says?) and captioning (what is in the box?)."""
    sentences: str = field(metadata=setting(choices=SENTENCES))
    """first: one sentence of a reference; all: each."""
    pictures: str
    """The COCO tree, relative to the source's folder."""
    train_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """The source's own splits (train, val, testA, testB) whose references are training records."""
    test_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """Those that are test records."""
    grounding_question: str
    """{sentence} stands for the sentence."""
    grounding_answer: str
    """{box} stands for the box."""
    caption_question: str
    """{box} stands for the box."""
    caption_answer: str
    """{sentence} stands for the sentence."""

    def __post_init__(self) -> None:
        require_some("refcoco", "tasks", self.tasks, TASKS)
        require_form("grounding_question", self.grounding_question, "sentence")
        require_form("grounding_answer", self.grounding_answer, "box")
        require_form("caption_question", self.caption_question, "box")
        require_form("caption_answer", self.caption_answer, "sentence")


def read(raw: Path, params: Params) -> Iterator[Item]:
    """A question of each task on each chosen sentence; their field is category.

    Raises:
        DataError: a file or every picture folder is missing, the pickle holds more than plain
            containers, a reference lacks a key or names an object that is not there, or a box or
            a size is none.
    """
    path = raw / "refs(unc).p"
    references = read_references(path)
    instances = read_instances(raw / "instances.json")
    pictures = coco_pictures(raw / params.pictures)
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            for i, reference in enumerate(references):
                where = f"Reference {i} of {path}"
                if _value(reference, "split", str, where) != name:
                    continue
                picture, image = pictures.find(_value(reference, "image_id", int, where))
                box, category = _object(reference, instances, where)
                for number, sentence in _sentences(reference, params.sentences, where):
                    for task in params.tasks:
                        question, answer = _question_and_answer(task, params, box, sentence)
                        yield Item(
                            id=f"{number}-{task}",
                            split=split,
                            task=task,
                            picture=picture,
                            image=image,
                            question=question,
                            answer=answer,
                            fields={"category": category},
                        )


class PlainUnpickler(pickle.Unpickler):
    """Builds lists, dicts, tuples, numbers and text, and refuses whatever a pickle names.

    Nothing can be called that was not looked up first, so nothing of the file is run. Strings of
    Python 2 are read as UTF-8 text.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="utf-8")

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every class and function.

        Raises:
            DataError: always; tells the name.
        """
        raise DataError(
            f"The pickle asks for {module}.{name}, which no list of references needs; do not use "
            "this file, download RefCOCO again."
        )


def read_references(path: Path) -> list[Any]:
    """The list in a pickle of plain containers.

    Raises:
        DataError: it is missing, is damaged, holds something else than a list, or asks for a class
            or a function.
    """
    require(path, "RefCOCO's references")
    try:
        with path.open("rb") as file:
            references = PlainUnpickler(file).load()
    except BROKEN as error:
        raise DataError(
            f"{path} is no pickle of references ({error}); download it again."
        ) from error
    if not isinstance(references, list):
        raise DataError(f"{path} holds no list of references; download it again.")
    return references


def _object(reference: Any, instances: Instances, where: str) -> tuple[str, str]:
    """The box of a reference, written in fractions of the picture, and its category."""
    annotation = instances.annotations.get(_value(reference, "ann_id", int, where))
    image = instances.images.get(_value(reference, "image_id", int, where))
    category = instances.categories.get(_value(reference, "category_id", int, where))
    if annotation is None or image is None or category is None:
        raise DataError(
            f"{where} names an object, a picture or a category that instances.json has not; take "
            "both files from the same download."
        )
    sizes = [key_of(image, key, f"The image of {where}") for key in ("width", "height")]
    box = key_of(annotation, "bbox", f"The object of {where}")
    if not _numbers(box, 4) or not _numbers(sizes, 2) or min(sizes) <= 0:
        raise DataError(
            f"{where} has the box {box!r} in a picture of {sizes}, which are no numbers of "
            "pixels; download instances.json again."
        )
    fractions = [number / size for number, size in zip(box, sizes * 2, strict=True)]
    return format_box(fractions, None), str(key_of(category, "name", f"The category of {where}"))


def _sentences(reference: Any, which: str, where: str) -> Iterator[tuple[int, str]]:
    """Number and text of the chosen sentences."""
    sentences = _value(reference, "sentences", list, where)
    for one in sentences if which == "all" else sentences[:1]:
        place = f"A sentence of {where}"
        yield _value(one, "sent_id", int, place), _value(one, "sent", str, place).strip()


def _question_and_answer(task: str, params: Params, box: str, sentence: str) -> tuple[str, str]:
    if task == "grounding":
        question = params.grounding_question.replace("{sentence}", sentence)
        return question, params.grounding_answer.replace("{box}", box)
    answer = params.caption_answer.replace("{sentence}", sentence) if sentence else ""
    return params.caption_question.replace("{box}", box), answer


def _numbers(values: Any, count: int) -> bool:
    right = isinstance(values, list) and len(values) == count
    return right and all(isinstance(value, int | float) for value in values)


def _value(record: Any, key: str, kind: type[T], where: str) -> T:
    """A value of a reference, of the right type; others are not shown, they may be without end."""
    if not isinstance(record, Mapping):
        raise DataError(f"{where} is a {type(record).__name__}; download RefCOCO again.")
    value = key_of(record, key, where)
    if not isinstance(value, kind):
        raise DataError(
            f"'{key}' of {where} is a {type(value).__name__} and should be a {kind.__name__}; "
            "download RefCOCO again."
        )
    return value
