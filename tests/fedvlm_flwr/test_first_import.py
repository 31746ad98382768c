"""What a run's first import leaves to the garbage collector."""

import subprocess
import sys

SCRIPT = """
import gc
from fedvlm_flwr.first_import import LARGE, first_import

with first_import():
    assert not gc.isenabled()
    import transformers
assert LARGE in __import__("sys").modules
assert gc.isenabled() and gc.get_freeze_count() > 10_000
passed_over = gc.get_freeze_count()
with first_import():
    assert gc.isenabled()
assert gc.get_freeze_count() == passed_over
"""


def test_it_is_passed_over_once_and_what_comes_later_is_collected():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
