"""The files that CONTRIBUTING.md prints whole."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRINTED = re.compile(r"`([a-z_/]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)


def printed() -> dict[str, str]:
    """Their texts by their names, in the page's order."""
    return dict(PRINTED.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
