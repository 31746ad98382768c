"""Marks of a legend, drawn as the series are."""

from markupsafe import Markup

from fedvlm_flwr.report.page.own_markup import own_markup
from fedvlm_flwr.report.pictures.style import look, variable

DASHES = {"-": "", "--": "6 3", ":": "2 2", "-.": "6 2 2 2"}
LEVELS = (":", "--", "-.")
SIGNS = {  # around (13, 5), some 6 across
    "o": '<circle cx="13" cy="5" r="3"/>',
    "s": '<rect x="10.2" y="2.2" width="5.6" height="5.6"/>',
    "^": '<path d="M13 1.6 16.4 8H9.6z"/>',
    "D": '<path d="M13 1.2 16.8 5 13 8.8 9.2 5z"/>',
    "v": '<path d="M13 8.4 9.6 2h6.8z"/>',
    "P": '<path d="M12 1.8h2V4h2.2v2H14v2.2h-2V6H9.8V4H12z"/>',
    "X": '<path d="M10 2.6 13 5l3-2.4-1.4 2.4L16 7.4 13 5l-3 2.4L11.4 5z"/>',
}


def line(i: int) -> Markup:
    """The i-th series: a piece of its line with its marker."""
    color, style, marker = look(i)
    return own_markup(
        f'<svg width="26" height="10" aria-hidden="true"><g stroke="var({variable(color)})" '
        f'fill="var({variable(color)})"><path d="M0 5h26" stroke-width="2" '
        f'stroke-dasharray="{DASHES[style]}"/><g stroke="none">{SIGNS[marker]}</g></g></svg>'
    )


def level(i: int) -> Markup:
    """The i-th line across."""
    return own_markup(
        '<svg width="26" height="10" aria-hidden="true"><path d="M0 5h26" stroke="var(--muted)" '
        f'stroke-dasharray="{DASHES[LEVELS[i % len(LEVELS)]]}"/></svg>'
    )


def bar(i: int) -> Markup:
    """The i-th part of a bar."""
    color, _, _ = look(i)
    return own_markup(
        '<svg width="14" height="10" aria-hidden="true">'
        f'<rect width="14" height="10" fill="var({variable(color)})"/></svg>'
    )
