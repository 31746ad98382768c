"""Text on streams that take few signs."""

import io
import sys

import pytest

from fedvlm_flwr.report.streams import accept_any_text


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "─┼─ █▌ 0.5 ± 0.1 ü", "--- ## 0.5 ? 0.1 ?"),
        ("latin-1", "─┼─ █▌ 0.5 ± 0.1 ü", "--- ## 0.5 ± 0.1 ü"),
        ("utf-8", "─┼─ █▌ 0.5 ± 0.1 ü", "─┼─ █▌ 0.5 ± 0.1 ü"),
        ("utf-8", "a lone \udc80 byte of a file's name", "a lone ? byte of a file's name"),
    ],
)
def test_signs_that_the_encoding_lacks_are_shown_by_plain_ones(monkeypatch, encoding, text, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    accept_any_text()
    print(text, flush=True)
    assert stream.buffer.getvalue().decode(encoding) == f"{shown}\n"
