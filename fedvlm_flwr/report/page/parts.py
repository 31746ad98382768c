"""What sections of a page are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.tables.base import Table


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    form: ClassVar[str] = "text"
    text: str
    warns: bool = False


@dataclass(frozen=True)
class Grid:
    """A table on the page."""

    form: ClassVar[str] = "table"
    table: Table


@dataclass(frozen=True)
class Panels:
    """Pictures side by side, with one legend.

    Attributes:
        series: names in the order in which they are drawn; none where the pictures say them.
        levels: names of the thin lines across.
        bars: names of the parts of bars.
    """

    form: ClassVar[str] = "panels"
    pictures: Sequence[Picture]
    caption: str = ""
    series: Sequence[str] = field(default_factory=tuple)
    levels: Sequence[str] = field(default_factory=tuple)
    bars: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Tile:
    """A number that is read first."""

    name: str
    value: str
    more: str


@dataclass(frozen=True)
class Tiles:
    """Numbers in a row."""

    form: ClassVar[str] = "tiles"
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Facts:
    """What was chosen, as names and values."""

    form: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Fold:
    """Text that is folded away until it is asked for."""

    form: ClassVar[str] = "fold"
    title: str
    text: str


@dataclass(frozen=True)
class Outline:
    """A box on a picture, in fractions of it; `true` or `predicted`, in the series' colour."""

    kind: str
    label: str
    box: tuple[float, float, float, float]
    series: int = 0


@dataclass(frozen=True)
class Answer:
    """Whose answer it is, the answer, and whether it is right; None: nobody can say."""

    who: str
    text: str
    right: bool | None


@dataclass(frozen=True)
class Card:
    """A test example.

    Attributes:
        picture: a data URI; empty where it is not at hand.
        size: the picture's width and height in pixels.
    """

    name: str
    task: str
    question: str
    reference: str
    answers: Sequence[Answer]
    picture: str = ""
    size: tuple[int, int] = (0, 0)
    boxes: Sequence[Outline] = field(default_factory=tuple)


@dataclass(frozen=True)
class Cards:
    """Test examples under a heading."""

    form: ClassVar[str] = "cards"
    title: str
    cards: Sequence[Card]


Part = Text | Grid | Panels | Tiles | Facts | Fold | Cards


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; `name` is its anchor."""

    name: str
    title: str
    parts: Sequence[Part]
