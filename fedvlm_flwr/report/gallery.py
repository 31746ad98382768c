"""Test examples with their pictures and answers, a small seeded choice of right and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.evaluation.scores import score_each
from fedvlm_flwr.images.boxes import parse_boxes
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Answer, Card, Outline
from fedvlm_flwr.report.pictures.thumbnail import thumbnail
from fedvlm_flwr.run_folder import FIRST_PREDICTIONS, PREDICTIONS
from fedvlm_flwr.saved_config import config_of
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.tasks import load_task

if TYPE_CHECKING:
    from fedvlm_flwr.data.federated import Example

Texts = Mapping[str, str]  # answers by the record's id
EACH = 3  # right ones of a task, and as many wrong ones
BOXES = 12  # of a card
LENGTH = 600  # characters of a text on a card
RIGHT = 0.5  # of an example's score, where right is not all or nothing


@dataclass(frozen=True)
class Source:
    """Whose answers are shown: a name, the answers, and which series they are."""

    who: str
    answers: Texts
    place: int


def answers_of(run: History, name: str) -> dict[str, str]:
    """The answers of a file of predictions by record."""
    return {str(line["id"]): str(line["prediction"]) for line in run.folder.lines(name)}


def first_answers(run: History) -> dict[str, str]:
    """What the model answered before its first round; nothing where that is not stored."""
    return answers_of(run, FIRST_PREDICTIONS) if run.last_round else {}


def last_answers(run: History) -> dict[str, str]:
    """What the model answered at the last evaluation."""
    return answers_of(run, PREDICTIONS)


def test_examples(run: History) -> list[Example]:
    """The test set that the run was scored on, from the data that this machine has.

    Raises:
        FedVLMError: the data is not at hand, or not as it was.
    """
    from fedvlm_flwr.data.federated import examples

    config = config_of(run.folder)
    data = this_process().data(config)
    return examples(data.test, data.root, None, data.box_decimals)


def cards_by_group(
    sources: Sequence[Source], examples: Sequence[Example], seed: int
) -> Iterator[tuple[str, list[Card]]]:
    """For each task its right and its wrong examples, by the last source's answers.

    Args:
        sources: before training, then after it.
        seed: of the choice.

    Raises:
        DataError: the references cannot be scored.
    """
    judge = next(source for source in sources if source.place >= 0)
    by_task: dict[str, list[Example]] = {}
    for example in examples:
        if example.id in judge.answers:
            by_task.setdefault(example.task, []).append(example)
    for task, own in sorted(by_task.items()):
        marks = [_marks(task, own, source.answers) for source in sources]
        at = sources.index(judge)
        for word, is_right in (("right", True), ("wrong", False)):
            rows = [i for i in range(len(own)) if marks[at][i] is is_right]
            chosen_rows = _choice(rows, marks[0], is_right, seed, f"gallery {task} {word}")
            cards = [_card(own[i], sources, [each[i] for each in marks]) for i in chosen_rows]
            if cards:
                yield f"{task}: {word}, {judge.who}", cards


def _choice(
    rows: Sequence[int], before: Sequence[bool | None], is_right: bool, seed: int, purpose: str
) -> list[int]:
    """A few rows, most of them such as training has changed where there are some."""
    order = [rows[i] for i in stream(seed, purpose).permutation(len(rows))]
    changed = [row for row in order if before[row] is not None and before[row] is not is_right]
    same = [row for row in order if row not in changed]
    head = changed[: EACH - 1] if same else changed[:EACH]
    return [*head, *same[: EACH - len(head)]]


def _marks(task: str, examples: Sequence[Example], answers: Texts) -> list[bool | None]:
    """Whether each answer is right; None of one that is not there."""
    rows = [i for i, example in enumerate(examples) if example.id in answers]
    marks: list[bool | None] = [None] * len(examples)
    if rows:
        own = [examples[i] for i in rows]
        values = score_each(task, [answers[example.id] for example in own], own)
        metric = next((m for m in values if m.startswith("accuracy")), load_task(task).HEADLINE)
        for i, value in zip(rows, values[metric], strict=True):
            marks[i] = value >= RIGHT
    return marks


def _card(example: Example, sources: Sequence[Source], marks: Sequence[bool | None]) -> Card:
    answers = [
        Answer(source.who, _cut(source.answers.get(example.id, "")), mark)
        for source, mark in zip(sources, marks, strict=True)
        if example.id in source.answers
    ]
    picture, size = thumbnail(example.images[0]) if example.images else ("", (0, 0))
    return Card(
        example.id,
        example.task,
        _cut(example.question),
        _cut(example.answer),
        answers,
        picture,
        size,
        list(_outlines(example, sources))[:BOXES] if picture else (),
    )


def _outlines(example: Example, sources: Sequence[Source]) -> Iterator[Outline]:
    """The boxes of question, reference and answers."""
    places = load_task(example.task).BOXES_IN
    if "question" in places:
        for one in parse_boxes(example.question):
            yield Outline("question", f"in the question: {one.label or ''}", one.box)
    if "answer" not in places:
        return
    for one in parse_boxes(example.answer):
        yield Outline("true", f"reference: {one.label or ''}", one.box)
    for source in sources:
        for one in parse_boxes(source.answers.get(example.id, "")):
            kind = "predicted" if source.place >= 0 else "before"
            yield Outline(kind, f"{source.who}: {one.label or ''}", one.box, max(0, source.place))


def _cut(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}\N{HORIZONTAL ELLIPSIS}"


def reason(error: FedVLMError) -> str:
    """Why there are no pictures, for the page."""
    return f"The test pictures are not at hand: {error}"
