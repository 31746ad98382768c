"""A sweep by `fedvlm run`, and its finished runs: what the benchmarks of many runs share."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fedvlm_flwr.sweeps.place import sweep_name


def run_sweep(parent: Path, words: Sequence[str]) -> Path:
    """Run what is missing of a sweep; its folder.

    Args:
        parent: of the sweep's folder.
        words: overrides, of which some have several values.

    Raises:
        SystemExit: a run failed; the others have gone on.
    """
    program, folder = Path(sys.executable).with_name("fedvlm"), parent / sweep_name(words)
    command = [str(program), "run", "-m", *words, f"output_dir={parent}"]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"Not every run of {folder} is finished; the same command goes on with them.")
    return folder
