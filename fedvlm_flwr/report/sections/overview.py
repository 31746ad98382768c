"""What was run, and what came of it, at a glance."""

from collections.abc import Iterator

from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.live import size
from fedvlm_flwr.report.page.parts import Facts, Part, Section, Text, Tile, Tiles
from fedvlm_flwr.report.time_left import duration

ORDER = 10
GROWS = True
CHOICES = ("algorithm", "dataset", "partition", "tuning", "model")
NUMBERS = {
    "num_clients": "clients",
    "clients_per_round": "clients a round",
    "num_rounds": "rounds",
    "train.lr": "learning rate",
    "train.batch_size": "batch size",
    "train.local_epochs": "local epochs",
    "train.local_steps": "local steps",
}


def section(experiment: Experiment) -> Section | None:
    """Tiles of a run's scores, or of a sweep's runs, and the choices that all runs share."""
    tiles = list(
        _of_run(experiment.histories[0]) if experiment.is_single else _of_sweep(experiment)
    )
    parts: list[Part] = [Tiles(tiles), Facts(list(_facts(experiment)))]
    if experiment.unfinished:
        names = ", ".join(experiment.unfinished)
        return Section("overview", "", [*parts, Text(f"Left out, not finished: {names}.", True)])
    return Section("overview", "", parts)


def _of_run(run: History) -> Iterator[Tile]:
    for task, metric in run.tasks.items():
        pair = (task, metric)
        if pair not in run.last:
            continue
        mark = "~" if run.is_sampled(task, run.last_round) else ""
        first = run.at(0).get(pair)
        ends = [run.last.get((task, f"{metric}_{end}")) for end in ("low", "high")]
        words = [f"{first:.3f} before"] if first is not None and run.last_round else []
        if None not in ends:
            words.append(f"95 %: {ends[0]:.3f} to {ends[1]:.3f}")
        yield Tile(f"{task}, {metric}", f"{mark}{run.last[pair]:.3f}", "; ".join(words))
    if run.cost:
        total = sum(run.cost["bytes"].values())
        yield Tile("traffic", size(total), "up and down, all clients")
        yield Tile("time", duration(run.cost["seconds"]["wall"]), "from start to end")


def _of_sweep(experiment: Experiment) -> Iterator[Tile]:
    seeds = ", ".join(experiment.seeds[:8])
    yield Tile("runs", str(len(experiment.histories)), f"seeds {seeds}")
    yield Tile(
        "rows", str(len(experiment.rows)), "; ".join(map(experiment.row_label, experiment.rows))
    )
    names = "; ".join(map(experiment.column_label, experiment.columns))
    yield Tile("compared on", str(len(experiment.columns)), names)
    wall = sum(run.cost["seconds"]["wall"] for run in experiment.histories if run.cost)
    yield Tile("time", duration(wall), "all runs together")


def _facts(experiment: Experiment) -> Iterator[tuple[str, str]]:
    keys = experiment.histories[0].keys
    for key in (f"{name}.name" for name in CHOICES):
        if key in keys and key not in experiment.keys:
            yield key.removesuffix(".name"), str(keys[key])
    for key, words in NUMBERS.items():
        if keys.get(key) is not None and key not in experiment.keys:
            yield words, str(keys[key])
    if experiment.is_single:
        yield "seed", experiment.histories[0].seed
