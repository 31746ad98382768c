"""The places of a record's pictures in its questions: `<image>` as people's files have it.

Of several pictures each keeps its place, on a line of its own. One picture is shown before the
first question, wherever its mark stands; a record without a picture has no mark.
"""

from collections.abc import Sequence

from fedvlm_flwr.data.federated import IMAGE_MARK, PLACE
from fedvlm_flwr.errors import DataError


def shown_in(talks: Sequence[Sequence[str]], images: Sequence[str], marks: int) -> list[list[str]]:
    """The pictures that each record of one conversation shows: those marked in its questions.

    Args:
        talks: the questions of each record, from the conversation's first one on, with marks.
        images: of the conversation. One, or several of which none is marked, are in all records.
        marks: in the whole conversation.

    Raises:
        DataError: another number of pictures is marked than there are; no whole sentence.
    """
    if marks not in (0, len(images)):
        raise DataError(
            f"it marks {marks} picture{'s' if marks > 1 else ''} and shows {len(images) or 'none'}"
        )
    if len(images) < 2 or not marks:
        return [[*images] for _ in talks]
    return [[*images[: sum(text.count(PLACE) for text in talk)]] for talk in talks]


def with_places(questions: Sequence[str], pictures: int) -> list[str]:
    """The questions of a record, with a mark for each of its pictures."""
    if pictures > 1 and any(PLACE in text for text in questions):
        return [_on_lines(text) for text in questions]
    first, *others = (unmarked(text) for text in questions)
    return [f"{IMAGE_MARK * pictures}{first}", *others]


def unmarked(question: str) -> str:
    """A question without the marks of its pictures, wherever they stand."""
    return " ".join(part.strip() for part in question.split(PLACE) if part.strip())


def _on_lines(question: str) -> str:
    first, *others = (part.strip() for part in question.split(PLACE))
    lines = [first, *(line for part in others for line in (PLACE, part))]
    return "\n".join(line for line in lines if line)
