"""A sweep by `fedvlm run` and a script's own options: what the benchmarks of many runs share."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvlm_flwr.sweeps.place import sweep_name


@dataclass(frozen=True)
class Options:
    """What a script of many runs is called with.

    Attributes:
        out: the folder of its runs and results.
        overrides: further words of `fedvlm run`.
    """

    out: Path
    seeds: Sequence[int]
    overrides: Sequence[str]

    @classmethod
    def read(cls, words: Sequence[str], doc: str, out: str) -> "Options":
        """The options of a command line: `[--out DIR] [--seeds 0 1 2] [KEY=VALUE ...]`.

        Args:
            doc: of the script, which --help prints.
            out: the folder, where the command line names none.

        Raises:
            SystemExit: a word is none of these.
        """
        overrides = [word for word in words if "=" in word and not word.startswith("-")]
        raw = argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(description=doc, formatter_class=raw)
        parser.add_argument("--out", type=Path, default=Path(out))
        parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        own = parser.parse_args([word for word in words if word not in overrides])
        return cls(own.out.resolve(), own.seeds, overrides)

    @property
    def seed_list(self) -> str:
        """The seeds as an override."""
        return f"seed={','.join(map(str, self.seeds))}"


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
