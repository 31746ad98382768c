"""What FedVLMBench has found, looked at again on several seeds: a small table for each finding.

    python benchmarks/findings.py [--out findings] [--seeds 0 1 2] [KEY=VALUE ...]

Three of the named sweeps (docs/experiments.md), which the same command goes on with where it was
interrupted: connectors_by_dataset, strategies_by_partition and tasks_apart. Further words change
their model, datasets, budget or lists. Prints a page in Markdown and writes it into the folder.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.contrasts import WITHIN, Arm, Difference, arm, tally
from benchmarks.sweeps import run_sweep
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.report.noise import FEWEST, LEVEL, limits_of
from fedvlm_flwr.report.sweep import RunSummary, read_sweep, select_metrics
from fedvlm_flwr.report.tables import markdown
from fedvlm_flwr.report.tables.base import Line, Table, score_cell, text_cell

SORTS = {  # of tasks, as the paper sorts them
    "text": frozenset({"captioning", "report", "vqa"}),
    "vision": frozenset({"classification", "detection", "grounding"}),
}
OWN_SHARES = "local_{}_mean"  # the mean over clients, each on its own share of the test set
WORDS = ("engine=inprocess",)


@dataclass(frozen=True)
class Finding:
    """What is compared, and what FedVLMBench says of it.

    Attributes:
        claim: the paper's, as a sentence.
        sweep: whose runs tell it.
        key: what two runs of a comparison differ in.
        ground: the key in which they agree; a comparison for each of its values.
        ours: values of `key` that are compared with each of `theirs`; none: all others.
        on: values of `ground`; none: all.
        by_sort: text tasks and vision tasks are counted apart.
        relative: changes in per cent are told, by sort of task.
        own_shares: those of `theirs` that are compared on the clients' own shares too.
    """

    title: str
    claim: str
    sweep: str
    key: str
    ground: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    by_sort: bool = False
    relative: bool = False
    own_shares: tuple[str, ...] = ()


FINDINGS = (
    Finding(
        "Two layers against one and six",
        "a connector of two layers is the best",
        "connectors_by_dataset",
        "model.connector",
        "tuning.name",
        ("linear", "mlp6x_gelu"),
        ("mlp2x_gelu",),
    ),
    Finding(
        "Connector and adapter together against one after the other",
        "F-CL is better than F-2stage",
        "strategies_by_partition",
        "tuning.name",
        "partition.name",
        ("f_2stage",),
        ("f_cl",),
    ),
    Finding(
        "The adapter against the connector, by task",
        "text tasks gain from the LLM's adapter, vision tasks from the connector",
        "strategies_by_partition",
        "tuning.name",
        "partition.name",
        ("f_c",),
        ("f_l",),
        by_sort=True,
    ),
    Finding(
        "Clients that differ against clients alike, by task",
        "data that are not IID hurt vision tasks more than text tasks",
        "strategies_by_partition",
        "partition.name",
        "tuning.name",
        ("iid",),
        on=("f_cl",),
        by_sort=True,
        relative=True,
    ),
    Finding(
        "Federated against pooled and alone",
        "federated training on several tasks comes near the pooled records",
        "tasks_apart",
        "algorithm.name",
        "partition.name",
        ("central", "local"),
        ("fedavg",),
        own_shares=("local",),
    ),
)


@dataclass(frozen=True)
class Contrast:
    """Two arms, compared by a metric of each task."""

    ours: Arm
    theirs: Arm
    form: str = "{}"

    @property
    def name(self) -> str:
        """As a row is called."""
        shares = ", on own shares" if self.form == OWN_SHARES else ""
        return f"{self.ours.name} - {self.theirs.name}{shares}"

    def difference(self, task: str, metric: str) -> Difference:
        """Of the runs' scores of a task."""
        name = self.form.format(metric)
        return Difference.between(self.ours.scores(task, name), self.theirs.scores(task, name))

    def relative(self, pairs: Sequence[tuple[str, str]]) -> Difference:
        """The mean over tasks of ours / theirs - 1, beside zeros; empty if a score is 0."""
        each = [self.difference(*pair) for pair in pairs]
        if not all(score for d in each for score in d.theirs):
            return Difference([], [])
        rows = zip(
            *([a / b - 1 for a, b in zip(d.ours, d.theirs, strict=True)] for d in each), strict=True
        )
        means = [fmean(row) for row in rows]
        return Difference(means, [0.0] * len(means))


def values(runs: Sequence[RunSummary], key: str) -> list[str]:
    """The values of a key, in the sweep's order."""
    return list(dict.fromkeys(str(run.keys.get(key)) for run in runs))


def contrasts_of(finding: Finding, runs: Sequence[RunSummary]) -> Iterator[Contrast]:
    """The comparisons for which there are runs."""
    ours = finding.ours or [v for v in values(runs, finding.key) if v not in finding.theirs]
    for ground in finding.on or values(runs, finding.ground):
        for one, other in product(ours, finding.theirs):
            arms = [
                arm(runs, {finding.key: value, finding.ground: ground}) for value in (one, other)
            ]
            if all(each.runs for each in arms):
                yield Contrast(*arms)
                if other in finding.own_shares:
                    yield Contrast(*arms, OWN_SHARES)


def table(finding: Finding, runs: Sequence[RunSummary]) -> Table:
    """Rows of what is compared and, below them, of the differences."""
    pairs, contrasts = select_metrics(runs, ()), list(contrasts_of(finding, runs))
    arms = {each.name: each for c in contrasts for each in (c.ours, c.theirs)}
    lines = [
        Line([text_cell(name), *(score_cell(list(a.scores(*pair).values())) for pair in pairs)])
        for name, a in arms.items()
    ]
    lines += [
        Line([text_cell(c.name), *(c.difference(*pair).cell() for pair in pairs)], baseline=True)
        for c in contrasts
    ]
    return Table(
        finding.sweep,
        f"{finding.title}: {setting(runs)}",
        ["", *(f"{task} {metric}" for task, metric in pairs)],
        lines,
        " ".join(caption(finding, contrasts, pairs)),
        warnings=list(budgets(contrasts)),
    )


def setting(runs: Sequence[RunSummary]) -> str:
    """What all runs have in common, in short."""
    keys = ("model.name", "dataset.name", "num_clients", "num_rounds")
    model, dataset, clients, rounds = (" or ".join(values(runs, key)) for key in keys)
    return f"{model} on {dataset}, {clients} clients, {rounds} rounds"


def caption(
    finding: Finding, contrasts: Sequence[Contrast], pairs: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """The paper's claim, and how often it is so here."""
    yield f"FedVLMBench: {finding.claim}."
    if not contrasts:
        yield "Here there are no runs to compare."
        return
    for sort, own in sorted_pairs(pairs).items() if finding.by_sort else [("all", pairs)]:
        differences = [c.difference(*pair) for c in contrasts for pair in own]
        names = ", ".join(task for task, _ in own)
        tasks = f" of {sort} tasks ({names})" if finding.by_sort else ""
        yield f"The differences{tasks} here: {tally(differences)}."
    if finding.relative:
        yield from relative_changes(contrasts, pairs)


def relative_changes(
    contrasts: Sequence[Contrast], pairs: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """The changes in per cent by sort of task, and how far the two sorts differ."""
    own = sorted_pairs(pairs)
    if len(own) < len(SORTS):
        return
    yield "Metrics differ by task, so that changes are in per cent of what they start from."
    for each in contrasts:
        vision, text = (each.relative(own[sort]) for sort in ("vision", "text"))
        gap = Difference(vision.ours, text.ours)
        if not gap.ours:
            yield f"{each.name}: a score is 0, of which nothing is a part."
            continue
        far = {None: "too few seeds to say more", WITHIN: WITHIN}.get(
            gap.verdict, f"vision tasks are {gap.verdict} beyond it"
        )
        yield (
            f"{each.name}: {vision.text(100, 1)} % on vision tasks, {text.text(100, 1)} % on text "
            f"tasks; vision less text {gap.text(100, 1)} % ({far})."
        )


def sorted_pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Tasks by their sort; those of none are left out."""
    own = {sort: [pair for pair in pairs if pair[0] in names] for sort, names in SORTS.items()}
    return {sort: found for sort, found in own.items() if found}


def budgets(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """What is not comparable as it stands."""
    for each in contrasts:
        steps = [sorted({run.steps for run in a.runs.values()}) for a in (each.ours, each.theirs)]
        if steps[0] != steps[1] and each.form != OWN_SHARES:
            numbers = " and ".join(", ".join(map(str, own)) for own in steps)
            yield f"Unequal budgets: {each.name} have made {numbers} optimizer steps."


def page(tables: Sequence[Table], seeds: int) -> str:
    """All tables, and what their numbers can say."""
    words = [
        f"Scores are means ± standard deviations over {seeds} seed{'s'[: seeds - 1]}; below them "
        "stand differences of the runs with the same seed. Higher and lower (bold) is what a "
        f"two-sided paired t-test over the seeds tells apart (p < {LEVEL:g}); within the seeds' "
        "spread does not mean equal. Of twenty comparisons in which nothing differs one comes out "
        "as higher or lower by chance.",
        f"It takes {FEWEST} seeds at least." if seeds < FEWEST else limits_of(seeds),
    ]
    text = "\n\n".join(word for word in words if word)
    body = "\n".join(f"## {markdown.write(each)}" for each in tables)
    return f"# FedVLMBench's findings on {seeds} seed{'s'[: seeds - 1]}\n\n{text}\n\n{body}"


def tables_of(folders: dict[str, Path]) -> Iterator[Table]:
    """A table for each finding and dataset.

    Args:
        folders: of the sweeps, by experiment.
    """
    for finding in FINDINGS:
        runs = read_sweep(folders[finding.sweep]).runs
        for dataset in values(runs, "dataset.name"):
            yield table(finding, [run for run in runs if run.keys.get("dataset.name") == dataset])


def main() -> None:
    """Run what is missing, then the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    seeds = f"seed={','.join(map(str, options.seeds))}"
    folders = {
        name: run_sweep(
            options.out.resolve(), [f"experiment={name}", *WORDS, seeds, *options.overrides]
        )
        for name in dict.fromkeys(finding.sweep for finding in FINDINGS)
    }
    text = page(list(tables_of(folders)), len(options.seeds))
    print(text)
    write_atomic(options.out / "findings.md", text)


if __name__ == "__main__":
    main()
