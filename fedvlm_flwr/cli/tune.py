"""Search an algorithm's settings on validation records, with successive halving.

usage: fedvlm tune [--trials N] [--fewest-rounds N] [--out FOLDER] [KEY=VALUE ...]

What is tried stands in conf/search/<algorithm>.yaml (or default.yaml): lists of values by key. At
most --trials (12) settings of that grid run for a fraction of num_rounds, --fewest-rounds (2) at
least; the better half goes on with twice as many, until two run whole. A score is the mean over
tasks of the headline metric as a part of the rung's best, so that CIDEr, which goes to 10, counts
as much as an accuracy; on validation records, never on the test set: a dataset's own, or
eval.validation_fraction of its training pictures. Every algorithm has the same budget.

    fedvlm tune algorithm=fedadam experiment=compare engine=inprocess

The same command goes on where it was interrupted. It prints each rung, writes tune.json into its
folder and best.yaml, which conf/settings/tuned takes as <algorithm>.yaml, and ends with the command
that runs the best setting.
"""

import argparse
import hashlib
import json
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf

from fedvlm_flwr.cli import run as run_command
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.planning.halving import Rung, Trial, best, rungs_of, trials_of
from fedvlm_flwr.plugin_folder import conf_file
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.sweep import read_sweep, select_metrics
from fedvlm_flwr.run_folder import RunFolder
from fedvlm_flwr.sweeps.place import parent_of

RESULT, BEST = "tune.json", "best.yaml"
ONLY_ENDS = ("eval.every=1000000", "eval.shuffled=false", "eval.split=validation")


def main(arguments: list[str]) -> int:
    """Search, print, write."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm tune", add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--fewest-rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    try:
        options = parser.parse_intermixed_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    if min(options.trials, options.fewest_rounds) < 1:
        raise ConfigError("--trials and --fewest-rounds must be 1 at least.")
    words: list[str] = options.overrides
    config = this_process().compose({"overrides": shlex.join([*words, *ONLY_ENDS])})
    space = search_space(config)
    trials = trials_of(space, options.trials, config.seed)
    rungs = rungs_of(len(trials), config.num_rounds, options.fewest_rounds)
    folder = options.out or parent_of(words) / _name(config, words, trials)
    print(f"{len(trials)} settings of {', '.join(space)}; folder: {folder}", flush=True)
    table: list[dict[str, Any]] = []
    scores: dict[Trial, float] = {}
    for number, rung in enumerate(rungs, start=1):
        trials = trials if number == 1 else best(scores, rung.trials)
        by_task = {
            trial: scores_of(words, trial, rung, folder / f"rung{number}" / f"{i:02d}")
            for i, trial in enumerate(trials)
        }
        scores = relative(by_task)
        table += [
            _row(number, rung, trial, scores[trial]) | {"tasks": by_task[trial]}
            for trial in best(scores, len(scores))
        ]
        print(rung_text(number, rung, scores), flush=True)
    (winner,) = best(scores, 1)
    facts: dict[str, Any] = {
        "space": space,
        "rungs": [asdict(rung) for rung in rungs],
        "trials": table,
    }
    facts |= {"best": dict(winner), "score": scores[winner]}
    write_atomic(folder / RESULT, json.dumps(facts, indent=2) + "\n")
    write_atomic(folder / BEST, as_settings(arguments, winner, scores, rungs))
    print(f"best: fedvlm run {shlex.join([*words, *_overrides(winner)])}")
    return 0


def as_settings(
    arguments: list[str], winner: Trial, scores: Mapping[Trial, float], rungs: list[Rung]
) -> str:
    """The best setting as a YAML of conf/settings, with how it was found.

    Args:
        scores: those of the last rung.
    """
    rung = rungs[-1]
    texts = [f"{scores[trial]:.3f} ({_text(trial)})" for trial in best(scores, len(scores))]
    lines = [
        f"Best of {rungs[0].trials} settings by {rung.rounds} rounds on validation records, "
        "as a part of the best in each task:",
        *textwrap.wrap(" before ".join(texts) + "; found by", 94),
        *textwrap.wrap(f"fedvlm tune {shlex.join(_without_place(arguments))}", 94),
    ]
    tree = OmegaConf.create()
    for key, value in winner:
        OmegaConf.update(tree, key, value)
    head = "".join(f"# {line}\n" for line in lines)
    return f"# @package _global_\n{head}{OmegaConf.to_yaml(tree)}"


def _without_place(arguments: list[str]) -> list[str]:
    """The command's words but for the folder, which another machine has elsewhere."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if "--out" not in (before, word.partition("=")[0])]


def search_space(config: Config) -> dict[str, list[Any]]:
    """What is tried of the configured algorithm.

    Raises:
        ConfigError: the file is no mapping.
    """
    path = conf_file("search", config.algorithm.name) or conf_file("search", "default")
    assert path is not None, "the package has the default"
    space = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(space, dict) or not space:
        raise ConfigError(f"{path} must be a mapping of keys to lists of values.")
    return {str(key): values for key, values in space.items()}


def scores_of(words: list[str], trial: Trial, rung: Rung, folder: Path) -> dict[str, float]:
    """Run a setting, unless it has been: each task's headline metric on validation records.

    Raises:
        RunError: the run failed.
    """
    run = RunFolder(folder)
    if not (folder.exists() and run.is_finished()):
        place = [f"output_dir={folder.parent}", f"run_name={folder.name}"]
        more = [*_overrides(trial), f"num_rounds={rung.rounds}", *ONLY_ENDS]
        begun = [f"resume={folder}"] if folder.exists() else [*words, *more, *place]
        if run_command.main(begun):
            raise RunError(f"The setting {_text(trial)} failed; see {folder}, mend it, go on.")
    (summary,) = read_sweep(folder).runs
    return {pair[0]: summary.last[pair] for pair in select_metrics([summary], ())}


def relative(by_task: Mapping[Trial, Mapping[str, float]]) -> dict[Trial, float]:
    """Each trial's mean over tasks of its score as a part of the best one; 0 where none has any."""
    tasks = {task for scores in by_task.values() for task in scores}
    highest = {task: max(scores[task] for scores in by_task.values()) for task in tasks}
    return {
        trial: fmean(scores[t] / highest[t] if highest[t] > 0 else 0.0 for t in sorted(tasks))
        for trial, scores in by_task.items()
    }


def rung_text(number: int, rung: Rung, scores: Mapping[Trial, float]) -> str:
    """A rung's settings, the best first."""
    rows = [[_text(trial), f"{scores[trial]:.4f}"] for trial in best(scores, len(scores))]
    return grid((f"rung {number}: {rung.rounds} rounds", "validation"), rows)


def _overrides(trial: Trial) -> list[str]:
    return [f"{key}={value}" for key, value in trial]


def _text(trial: Trial) -> str:
    return " ".join(_overrides(trial))


def _row(number: int, rung: Rung, trial: Trial, score: float) -> dict[str, Any]:
    return {"rung": number, "rounds": rung.rounds, "setting": dict(trial), "score": score}


def _name(config: Config, words: list[str], trials: list[Trial]) -> str:
    """A folder's name that the same command has again."""
    mark = hashlib.sha256(repr((words, trials)).encode()).hexdigest()[:8]
    return f"tune-{config.algorithm.name}-{config.dataset.name}-{mark}"
