"""Score a finished run's model on another dataset or split, without training.

usage: fedvlm evaluate RUN [KEY=VALUE ...] [--client K]
       fedvlm evaluate -m FOLDER ... [KEY=VALUE,VALUE ...]

Keys are those of `fedvlm run` that leave the model as it is: dataset, dataset.*, eval.*, and
engine.device. Without eval.max_examples all records of the split are scored.

    fedvlm evaluate RUN eval.split=validation
    fedvlm evaluate RUN dataset=folder dataset.root=my_data
    fedvlm evaluate -m RUN1 RUN2 dataset=easyvqa,fed_slake

It prints the table of scores that a run ends with, and writes scores and predictions into
RUN/evaluations/<dataset>. -m scores all finished runs in the folders by all combinations of
values, and ends with one table: a row for each combination and the runs that differ in their seed
alone (mean, standard deviation), a column a metric. What was scored before is not scored
again by it: remove its folder where the records have changed.
--client: the own model of a client, where clients have such.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from fedvlm_flwr.cli.base import client_model
from fedvlm_flwr.cli.run import as_one_value, from_anywhere, require_pairs
from fedvlm_flwr.config.keys import kinds_of
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.evaluation_folder import EvaluationFolder
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import CONFIG, RunFolder
from fedvlm_flwr.takehome.evaluation import Evaluation, evaluate, evaluation_config
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import load_run_model
from fedvlm_flwr.takehome.side_by_side import Scored, side_by_side


def main(arguments: list[str]) -> int:
    """Score and print."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm evaluate", add_help=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--client", type=int)
    try:
        options = parser.parse_intermixed_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    # A job's folder may have '=' in its name.
    folders = [Path(word).expanduser() for word in options.words if is_folder(word)]
    words = [as_one_value(word) for word in options.words if not is_folder(word)]
    require_pairs(words)
    if not folders or (len(folders) > 1 and not options.multirun):
        raise RunError(
            f"{len(folders)} run folders are named, and one is scored at a time; name the folder "
            "of a finished run, or several behind -m."
        )
    if not options.multirun:
        run = FinishedRun.open(folders[0])
        folder = score(evaluation_of(run, words, options.client))
        print(f"{result_table(folder)}\nevaluation folder: {folder.path}")
        return 0
    runs = [run for folder in folders for run in runs_in(folder)]
    cells = [
        Scored(run, tuple(swept), score_once(evaluation_of(run, [*fixed, *swept], options.client)))
        for run in runs
        for fixed, swept in combinations(words)
    ]
    print(side_by_side(cells))
    return 0


def is_folder(word: str) -> bool:
    """Whether a word of the command line names a folder."""
    return Path(word).expanduser().is_dir() or "=" not in word


def runs_in(folder: Path) -> list[FinishedRun]:
    """The finished runs in or below a folder, by their names.

    Raises:
        RunError: there is none.
    """
    places = sorted(path.parent for path in folder.rglob(CONFIG))
    unfinished = [one for one in places if one != folder and not RunFolder(one).is_finished()]
    runs = [FinishedRun.open(place) for place in places if place not in unfinished]
    if not runs:
        raise RunError(f"{folder} holds no finished run; name the folder of one, or of a sweep.")
    for place in unfinished:
        print(f"left out (not finished): {place}")
    return runs


def combinations(words: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """For each combination of values the overrides that stay, and those that vary.

    Raises:
        ConfigError: a word is not in Hydra's grammar.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise ConfigError(f"{' '.join(words)}: {' '.join(str(error).split())[:200]}.") from error
    fixed = [one.input_line for one in overrides if not one.is_sweep_override()]
    swept = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
        for one in overrides
        if one.is_sweep_override()
    ]
    return [([str(word) for word in fixed], list(each)) for each in itertools.product(*swept)]


def evaluation_of(run: FinishedRun, words: Sequence[str], client: int | None) -> Evaluation:
    """What these words of the command line ask for.

    Raises:
        ConfigError: a key would change the model, or a value does not fit.
    """
    words = [from_anywhere(word, kinds_of(run.config)) for word in words]
    return Evaluation(run, evaluation_config(run, words), client)


def score_once(evaluation: Evaluation) -> EvaluationFolder:
    """The folder of an evaluation, made unless it is there."""
    earlier = evaluation.earlier()
    if earlier is None:
        return score(evaluation)
    print(f"already scored: {earlier.path}")
    return earlier


def score(evaluation: Evaluation) -> EvaluationFolder:
    """Load the model, score it, and write a new folder."""
    run, process = evaluation.run, this_process()
    print(f"scoring {run.name} on {evaluation.name}", flush=True)
    device = evaluation.config.engine.device
    model = load_run_model(run, process, device, client_model(run, evaluation.client))
    return evaluate(evaluation, model, process)
