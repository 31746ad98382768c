"""Output that no stream refuses: signs that its encoding lacks are shown by plain ones."""

import codecs
import sys

ERRORS = "fedvlm-plain"
BOX, BLOCK = range(0x2500, 0x2580), range(0x2580, 0x25A0)


def plain(text: str) -> str:
    """ASCII signs for others: dashes for lines of tables, # for blocks, ? for the rest."""
    return "".join("-" if ord(s) in BOX else "#" if ord(s) in BLOCK else "?" for s in text)


def _instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def accept_any_text() -> None:
    """Let stdout and stderr take any text, whatever their encoding (PYTHONIOENCODING, a locale)."""
    codecs.register_error(ERRORS, _instead)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream of another kind takes text
        if reconfigure is not None:
            reconfigure(errors=ERRORS)
