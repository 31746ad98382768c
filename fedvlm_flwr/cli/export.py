"""Export a finished run's model: an adapter for its base, or merged, with a model card.

usage: fedvlm export RUN --out FOLDER [--merge] [--client K] [--gguf]

Without --merge: the PEFT adapter with its connector, as in the run's adapter/. With --merge: one
model in transformers' own format with its processor, which AutoModelForImageTextToText and
AutoProcessor load without this package, and which gives the same greedy answers. README.md is a
model card: data, partition, algorithm, rounds, scores with intervals, cost, licence of the base.
--client: the own model of a client, where clients have such.
"""

import argparse
from pathlib import Path

from fedvlm_flwr.cli.base import client_model
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.process import Process
from fedvlm_flwr.takehome.export import export, require_room
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import load_run_model
from fedvlm_flwr.takehome.merging import require_mergeable


def main(arguments: list[str]) -> int:
    """Load, write, say where."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm export", add_help=False)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--gguf", action="store_true")
    parser.add_argument("--client", type=int)
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    if options.gguf:
        raise RunError(
            "GGUF is written by llama.cpp's own converter, which is no Python package: export with "
            f"--merge, then run `python llama.cpp/convert_hf_to_gguf.py {options.out}`, and once "
            "more with --mmproj for the vision tower, of families that it knows."
        )
    out = options.out.expanduser()
    run = FinishedRun.open(options.run)
    require_room(out)
    if options.merge:
        require_mergeable(run.config.model)
    # On the CPU, whatever the run had: weights are only added up and written.
    model = load_run_model(run, Process(), "cpu", client_model(run, options.client))
    export(model, out, merged=options.merge)
    print(f"{'merged model' if options.merge else 'adapter'}: {out}")
    return 0
