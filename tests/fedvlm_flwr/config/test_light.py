"""Composing a configuration brings no heavy package with it, whatever is chosen."""

import json
import subprocess
import sys
from pathlib import Path

CONF = Path(__file__).parents[3] / "conf"
HEAVY = ("torch", "transformers", "peft", "datasets", "flwr_datasets")
APART = {"search", "settings", "source"}  # no choices by themselves
GROUPS = sorted({path.parent.name for path in CONF.glob("*/*.yaml")} - APART)
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in (CONF / group).glob("*.yaml")]

SCRIPT = """
import json, sys
from fedvlm_flwr.config import compose

heavy, words = json.loads(sys.argv[1])
for word in words:
    compose({"overrides": word})
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, f"{word} brings {loaded}"
import fedvlm_flwr.process
loaded = [name for name in heavy if name in sys.modules]
assert not loaded, f"fedvlm_flwr.process brings {loaded}"
"""


def test_composing_any_choice_imports_nothing_heavy() -> None:
    given = json.dumps([HEAVY, CHOICES])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
