"""The sections of a chest radiograph's report, by their headings.

The yardstick is the section parser of the MIMIC-CXR code repository (MIT-LCP, its file
txt/section_parser.py): what it makes of a report is made of it here. Beyond it, any word of a
heading may be misspelled by a letter, a heading directly below another one counts, "Findings:" does
where nothing is in capitals, and "FINDINGS AND IMPRESSION" is the findings where no others are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

LAST_PARAGRAPH = "last paragraph"
MAIN = frozenset({"findings", "impression"})
# A word of a title, and what the section is by it; of several words the first in this order counts.
WORDS = {
    "impression": "impression",
    "conclusion": "impression",
    "findings": "findings",
    "history": "history",
    "comparison": "comparison",
    "addendum": "addendum",
}
# Whole titles, of which some have a word of those above and mean something else.
TITLES = {
    "clinical indication": "indication",
    "clinical information": "history",
    "comment": "comment",
    "date": "date",
    "exam": "examination",
    "examination": "examination",
    "indication": "indication",
    "notification": "notification",
    "pfi": "history",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "recommendations": "recommendations",
    "reference exam": "comparison",
    "technique": "technique",
    "type of examination": "examination",
    "wet read": "wet read",
    "wetread": "wet read",
}
SPELLINGS = (*WORDS, "examination", "indication", "notification", "recommendations", "technique")
# Below the name of the pictures stands what is seen in them.
VIEWS = re.compile(
    r"\b(chest|portable|ribs|bone windows?|frontal (and|upright|semi upright)"
    r"|(pa|ap) and lat(eral)?|lateral and (pa|ap)"
    r"|(one|single|two|three|frontal|pa|ap|lateral) views?)\b"
)
CAPITALS = re.compile(r"[ \t]*([A-Z(][A-Z ()/,&-]*):(.*)")
CAPITALIZED = re.compile(
    r"[ \t]*([A-Z(][A-Z ()/,&-]*|(?:Findings?|Impressions?|Conclusions?)"
    r"(?: and (?i:impression|findings))?[ \t]*):(.*)"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        names: what it is foremost, and what else by its title ("FINDINGS AND IMPRESSION").
        text: with its line breaks; it may be empty.
    """

    names: tuple[str, ...]
    text: str


def report_sections(report: str) -> list[Section]:
    """The sections in their order, what is before the first heading as "preamble".

    A heading is in capitals at the beginning of a line, up to a colon; of a report that has neither
    findings nor an impression, "Findings:" and "Impression:" are headings too. Where there are
    still none, what follows the first paragraph of the last section is the "last paragraph".
    """
    lines = report.split("\n")
    sections = _split(lines, CAPITALS)
    if not _has_main(sections):
        sections = _split(lines, CAPITALIZED)
    if not _has_main(sections):
        sections = [s for s in sections if not MAIN.intersection(s.names)]  # they are empty
        last = sections.pop()
        first, *others = re.split(r"\n[ \t]*\n", last.text, maxsplit=1)
        sections.append(Section(last.names, first))
        sections.extend(Section((LAST_PARAGRAPH,), text) for text in others)
    return sections


def join_sections(sections: Sequence[Section], names: Iterable[str]) -> str:
    """The texts of the sections of these names, in one line; empty where there are none.

    Of several sections of a name the last one with text counts. One that has two of the names is
    given once; it counts for its second name where no other section has that foremost.
    """
    texts: dict[int, str] = {}
    for name in (section_names(name)[0] for name in names):
        places = [i for i, section in enumerate(sections) if name in section.names]
        places = [i for i in places if sections[i].text.strip()]
        foremost = [i for i in places if sections[i].names[0] == name]
        if places:
            place = (foremost or places)[-1]
            texts[place] = " ".join(sections[place].text.split())
    return " ".join(texts.values())


def section_names(title: str) -> tuple[str, ...]:
    """What a section is by its title, at least one name; a title of no meaning is its own name."""
    phrase = _phrase(title)
    return _names(phrase) or (("findings",) if VIEWS.search(phrase) else (phrase,))


def _split(lines: Sequence[str], heading: re.Pattern[str]) -> list[Section]:
    sections: list[Section] = []
    names: tuple[str, ...] = ("preamble",)
    texts: list[str] = []
    alone = False
    for line in lines:
        parts = heading.match(line)
        # Directly below a heading without text, "PA AND LATERAL CHEST:" is how the text begins.
        if parts and not (alone and not _names(_phrase(parts[1]))):
            sections.append(Section(names, "\n".join(texts)))
            alone = not parts[2]
            names, texts = section_names(parts[1]), [] if alone else [parts[2]]
        else:
            texts.append(line)
            alone = False
    return [*sections, Section(names, "\n".join(texts))]


def _has_main(sections: Iterable[Section]) -> bool:
    return any(MAIN.intersection(s.names) and s.text.strip() for s in sections)


def _phrase(title: str) -> str:
    words = re.findall("[a-z]+", title.lower().replace("(s)", "s"))
    return " ".join(map(_spelling, words))


def _names(phrase: str) -> tuple[str, ...]:
    if phrase in TITLES:
        return (TITLES[phrase],)
    words = phrase.split()
    return tuple(dict.fromkeys(name for word, name in WORDS.items() if word in words))


def _spelling(word: str) -> str:
    forms = (word, word.removesuffix("s"))
    rights = (right for right in SPELLINGS if any(_is_slip(form, right) for form in forms))
    return next(rights, word)


def _is_slip(word: str, right: str) -> bool:
    """Whether they differ by one letter at most, or by two that have changed places."""
    pairs = zip(word, right, strict=False)  # one may be longer
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    a, b = word[same:], right[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1], a[2:]) == (b[:2], b[2:])
