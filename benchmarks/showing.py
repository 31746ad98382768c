"""How the scripts show what they have measured: the machine's load, a table, a file."""

import json
import os
from pathlib import Path
from typing import Any


def show(text: str, rows: Any, out: Path | None) -> None:
    """Print the load and a table; write the numbers.

    Args:
        rows: the numbers behind the table, as JSON has them.
        out: the file; None: none is written.
    """
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(text)
    if out is not None:
        out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
