"""Every rule for adapters side by side at equal steps: scores, bytes, server seconds, distance.

    python benchmarks/rules.py [--out rules] [--seeds 0 1 2] [KEY=VALUE ...]

Two sweeps of experiment=compare, which the same command goes on with where it was interrupted: all
rules on three partitions, and those that take ranks that differ with ranks 2, 4 and 8. Prints a
table in Markdown and writes it and a picture of each round's distance to the mean of the clients'
products (`product_distance`) into the folder.
"""

import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sweeps import Options, run_sweep
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.plugins import available
from fedvlm_flwr.report.sweep import RunSummary, read_sweep, select_metrics
from fedvlm_flwr.report.tables.base import score_cell
from fedvlm_flwr.run_folder import COST, METRICS, RunFolder
from strategies import algorithm_class
from strategies.core.adapter_rule import AdapterRule

PARTITIONS = ("iid", "skewed", "task")
SAME, MIXED = "equal", "mixed"
MARKERS, DASHES = "osD^vPX*<>", ("-", "--", ":", "-.")  # lines may lie on each other
BUDGET = ("experiment=compare", "engine=inprocess", "product_distance=true")


def rules(*, mixed: bool) -> list[str]:
    """The names of the rules, or of those that take ranks that differ."""
    kinds = {name: algorithm_class(name) for name in available("strategies")}
    found = [n for n, kind in kinds.items() if issubclass(kind, AdapterRule)]
    return [n for n in found if not mixed or kinds[n].mixed_ranks]  # type: ignore[union-attr]


def sweep(options: Options, kind: str) -> Path:
    """Run what is missing of a sweep, of ranks that are equal or mixed; its folder."""
    mixed = kind == MIXED
    names = [*rules(mixed=mixed), *([] if mixed else ["ditto"])]
    words = [
        *(*BUDGET, *options.overrides),
        options.seed_list,
        f"partition={'skewed' if mixed else ','.join(PARTITIONS)}",
        f"algorithm={','.join(names)}",
        *(["tuning.lora.rank_of=[2,4,8]"] if mixed else []),
    ]
    return run_sweep(options.out / kind, words)


def facts_of(folder: Path) -> dict[str, Any]:
    """Bytes, the server's own seconds in rounds, and the distance by round."""
    run = RunFolder(folder)
    cost = json.loads((folder / COST).read_text(encoding="utf-8"))
    lines = [line for line in run.lines(METRICS) if line["metric"] == "product_distance"]
    return {
        "up": cost["bytes"]["up"] / 1e6,
        "down": cost["bytes"]["down"] / 1e6,
        "seconds": cost["seconds"]["rounds"] - cost["seconds"]["waiting"],
        "distance": {line["round"]: line["value"] for line in lines},
    }


def table(groups: Mapping[tuple[str, str], list[tuple[RunSummary, dict[str, Any]]]]) -> str:
    """One row for each rule and partition: mean and deviation over seeds."""
    runs = [run for group in groups.values() for run, _ in group]
    metrics = select_metrics(runs, ())
    heads = ["rule", "clients", *(f"{t} {m}" for t, m in metrics)]
    heads += ["MB up", "MB down", "server s", "distance"]
    rows = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for (where, rule), group in groups.items():
        cells = [rule, where]
        cells += [_spread([run.last.get(pair) for run, _ in group]) for pair in metrics]
        cells += [_spread([facts[key] for _, facts in group], 1) for key in ("up", "down")]
        cells.append(_spread([facts["seconds"] for _, facts in group], 2))
        last = [
            facts["distance"][max(facts["distance"])] for _, facts in group if facts["distance"]
        ]
        cells.append(_spread(last) if last else "-")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _spread(values: Iterable[float | None], digits: int = 3) -> str:
    numbers = [value for value in values if value is not None]
    return score_cell(numbers, digits).text if numbers else "-"


def draw(
    groups: Mapping[tuple[str, str], list[tuple[RunSummary, dict[str, Any]]]], path: Path
) -> None:
    """The distance by round, a panel for each partition; exact rules lie on one line at 0."""
    from matplotlib import pyplot as plt

    places = list(dict.fromkeys(where for where, _ in groups))
    names = sorted({rule for _, rule in groups})
    looks = {
        name: {"color": f"C{n % 10}", "marker": MARKERS[n % len(MARKERS)], "linestyle": dash}
        for n, (name, dash) in enumerate(zip(names, itertools.cycle(DASHES), strict=False))
    }
    figure, axes = plt.subplots(1, len(places), figsize=(4 * len(places), 3.4), sharey=True)
    for axis, place in zip(axes, places, strict=True):
        for (where, rule), group in groups.items():
            by_round: dict[int, list[float]] = defaultdict(list)
            for _, facts in group:
                for number, value in facts["distance"].items():
                    by_round[number].append(value)
            if where == place and by_round:
                means = [sum(v) / len(v) for _, v in sorted(by_round.items())]
                axis.plot(
                    sorted(by_round), means, label=rule, markersize=5, alpha=0.8, **looks[rule]
                )
        axis.set_title(place)
        axis.set_xlabel("round")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("distance to the mean product")
    handles = {t: h for a in axes for h, t in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(
        [handles[n] for n in sorted(handles)],
        sorted(handles),
        loc="outside right upper",
        fontsize=8,
    )
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run what is missing, then the table and the picture."""
    options = Options.read(sys.argv[1:], __doc__ or "", "rules")
    groups: dict[tuple[str, str], list[tuple[RunSummary, dict[str, Any]]]] = defaultdict(list)
    for kind in (SAME, MIXED):
        folder = sweep(options, kind)
        for run in read_sweep(folder).runs:
            partition = str(run.keys["partition.name"])
            where = partition if kind == SAME else f"{partition}, ranks 2, 4, 8"
            groups[where, str(run.keys["algorithm.name"])].append(
                (run, facts_of(folder / run.name))
            )
    text = table(groups)
    print(text)
    write_atomic(options.out / "rules.md", text + "\n")
    draw(groups, options.out / "rules.png")


if __name__ == "__main__":
    main()
