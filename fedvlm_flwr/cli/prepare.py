"""Prepare data and base model, so that a run starts at once.

usage: fedvlm prepare [KEY=VALUE ...]
       fedvlm prepare --check [KEY=VALUE ...]
       fedvlm prepare --rebuild [KEY=VALUE ...]
       fedvlm prepare dataset=NAME raw=FOLDER [out=FOLDER] [KEY=VALUE ...]

The first builds the tables of the dataset and pretrains the model, where they have to be made here;
both are cached in $FEDVLM_HOME (~/.cache/fedvlm_flwr). The tiny models with the recipes of conf/
travel with the package and need not be made. --check looks at every record and picture of
the dataset instead: one line a problem, a summary, and exit status 1 if there was one. --rebuild
makes a model that travels with the package anew, which takes minutes, tells how far it comes out
from that one, in weights and in scores, and keeps nothing. With raw=
the dataset is made from its public sources in that folder, written to out= (dataset.root, if it is
not given) and checked. Keys are those of `fedvlm run`:

    fedvlm prepare model=tiny_llava model.tiny.pretrain.seed=1
    fedvlm prepare --rebuild model=tiny_llava
    fedvlm prepare dataset=fed_slake raw=~/slake out=~/fed_slake
    fedvlm prepare --check dataset=fed_slake dataset.root=~/fed_slake
"""

import shlex
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from fedvlm_flwr.config import Config
from fedvlm_flwr.config.compose import quoted
from fedvlm_flwr.contracts import IsMade, TeachesBoxes
from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.fitting import fitted_check
from fedvlm_flwr.data.load import dataset_folder, examine_data
from fedvlm_flwr.data.making import assign
from fedvlm_flwr.data.records import show_one
from fedvlm_flwr.data.writing import write_dataset
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.paths import models_in, shipped_models, without_shipped_models
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.dataset import (
    box_ceiling,
    comparison,
    count_table,
    differences,
    problem_lines,
    sources,
    summary,
)
from fedvlm_flwr.tasks import load_task
from fedvlm_flwr.temporary import temporary_folder

PLACES = ("raw", "out")
FLAGS = ("--check", "--rebuild")


def main(arguments: list[str]) -> int:
    """Prepare, check, or make, what the configuration names."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    places = dict(word.split("=", 1) for word in arguments if word.split("=")[0] in PLACES)
    words = [w for w in arguments if w.split("=")[0] not in PLACES and w not in FLAGS]
    if "out" in places:
        words.append(f"dataset.root={quoted(str(_path(places['out'])))}")
        if "raw" not in places:
            raise ConfigError(f"out={places['out']} goes with raw=<folder of the sources>; add it.")
    process = this_process()
    config = process.compose({"overrides": shlex.join(words)})
    console = Console()
    if "raw" in places:
        make(config, _path(places["raw"]), console)
    if "raw" in places or "--check" in arguments:
        return check(config)
    if "--rebuild" in arguments:
        rebuild(config, console)
        return 0
    data = process.data(config)
    left_out = f", {data.left_out} bad ones left out" if data.left_out else ""
    console.print(
        f"dataset {config.dataset.name}: {len(data.train)} training and {len(data.test)} test "
        f"records{left_out}",
        highlight=False,
    )
    prepare(config, console)
    return 0


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()


def make(config: Config, raw: Path, console: Console) -> None:
    """Make a dataset of its sources, and print how it compares with the published one.

    Raises:
        ConfigError: it is not made of sources.
        DataError: the sources cannot be read, or the dataset cannot be written.
    """
    choice = config.dataset
    making = choice.params.making if isinstance(choice.params, IsMade) else None
    if making is None:
        raise ConfigError(
            f"dataset={choice.name} is not made from raw sources; leave raw= out, or choose one of "
            "the fed_* datasets."
        )
    out = dataset_folder(choice)
    assignment = assign(raw, making, print)
    compared = differences(assignment.counts(), making.published)
    about = {
        "dataset": choice.name,
        "records": [
            dict(zip(("split", "client", "task", "records"), row, strict=True))
            for row in assignment.counts()
        ],
        "compared": {n: {"made": m, "published": p} for n, (m, p) in compared.items()},
        "making": asdict(making),
    }
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("pictures")
        write_dataset(
            assignment,
            out,
            about,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )
    print(count_table(assignment.counts()))
    for line in comparison(compared):
        print(line)
    print(f"dataset {choice.name}: {out}")


def check(config: Config) -> int:
    """Check the dataset and print what is wrong; 1 if something is."""
    import torch

    from fedvlm_flwr.report.tokens import measure_answers

    examination = fitting(examine_data(config.dataset), config)
    for line in (*sources(examination), *problem_lines(examination)):
        print(line)
    if isinstance(config.dataset.params, TeachesBoxes):
        for line in box_ceiling(examination, config.dataset.params.box_decimals):
            print(line)
    too_long: list[str] = []
    try:
        vlm = this_process().model(config, torch.device("cpu")).vlm
    except ModelError as error:
        print(f"lengths in tokens were not measured: {error}")
    else:
        lengths, too_long = measure_answers(vlm, examination, config)
        for line in (*lengths, *too_long):
            print(line)
    empty = [split for split in ("train", "test") if not len(getattr(examination, split))]
    for split in empty:
        print(f"bad: there is no good {split} record; without one nothing can be run")
    print(summary(examination))
    return 1 if examination.problems or too_long or empty else 0


def fitting(examination: Checked, config: Config) -> Checked:
    """Records that the model does not take are bad; where it is not at hand, that is said."""
    tables = (examination.train, examination.validation, examination.test)
    if all(map(show_one, tables)):
        return examination
    try:
        takes = this_process().takes(config)
    except ModelError as error:
        print(f"whether the model takes so many pictures at once was not looked at: {error}")
        return examination
    return fitted_check(examination, takes, config.model.name)


def prepare(config: Config, console: Console) -> None:
    """Prepare the model, with a progress bar on a terminal."""
    from fedvlm_flwr.models import prepare_model  # brings torch with it

    choice, began = config.model, time.monotonic()
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"preparing {choice.name}")
        folder = prepare_model(
            choice,
            lambda done, total, _loss: bars.update(bar, completed=done, total=total),
        )
    where = folder or "taken from its checkpoint, nothing to prepare"
    console.print(
        f"model {choice.name}: {where} ({time.monotonic() - began:.1f} s)",
        highlight=False,
        soft_wrap=True,
    )


def rebuild(config: Config, console: Console) -> None:
    """Make the model anew, and print how far it comes out from the one of the package.

    Raises:
        ConfigError: no model of this recipe travels with the package.
    """
    import torch

    from fedvlm_flwr.models import load_model, prepared_model
    from fedvlm_flwr.models.weights.distance import distance

    choice, cpu = config.model, torch.device("cpu")
    shipped = prepared_model(choice)
    if shipped is None or shipped.parent not in shipped_models():
        raise ConfigError(
            f"No model={choice.name} of this recipe travels with the package; leave --rebuild out, "
            "or the keys that change the recipe."
        )
    scores = [base_scores(config)]
    weights = load_model(choice, cpu).module.state_dict()
    with temporary_folder() as folder, models_in(str(folder)), without_shipped_models():
        prepare(config, console)
        gap = distance(weights, load_model(choice, cpu).module.state_dict())
        scores.append(base_scores(config))
    print(f"weights: largest difference {gap.largest:.2e}, rms {gap.rms:.2e} of {gap.scale:.2e}")
    for task in scores[0]:
        name = config.eval.headlines.get(task, load_task(task).HEADLINE)
        before, anew = (own[task][name] for own in scores)
        print(f"{task} {name}: {before:.3f} of the package, {anew:.3f} anew")


def base_scores(config: Config) -> Scores:
    """Scores of the base model, before anything is trained, over the test set by task."""
    import torch

    from fedvlm_flwr.evaluation.evaluator import Evaluator
    from fedvlm_flwr.models.resident import load_resident

    process = this_process()
    model = load_resident(config, torch.device("cpu"))
    return Evaluator(config, model, process, config.eval.threads).run(full=True).scores
