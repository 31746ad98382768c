"""A finding of a paper as a small table: the scores, their differences, and what these say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.contrasts import OWN_SHARES, Arm, Contrast, Difference, Pair, tally
from fedvlm_flwr.report.sweep import RunSummary, select_metrics
from fedvlm_flwr.report.tables.base import Line, Table, score_cell, text_cell

SORTS: Mapping[str, frozenset[str]] = {  # of tasks, as FedVLMBench sorts them
    "text": frozenset({"captioning", "report", "vqa"}),
    "vision": frozenset({"classification", "detection", "grounding"}),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is compared, and what a paper says of it.

    Attributes:
        claim: the paper's, as a sentence.
        sweep: the experiment whose runs tell it.
        key: what two runs of a comparison differ in.
        ours: its values that are compared with each of `theirs`; none: all others.
        ground: the key in which they agree; a comparison for each of its values.
        on: these values; none: all.
        by_sort: text tasks and vision tasks are counted apart.
        relative: a second table has changes in per cent by sort of task.
        own_shares: those of `theirs` that are compared on the clients' own test shares too.
        note: what else must be known to read it.
    """

    title: str
    claim: str
    sweep: str
    key: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...] = ()
    ground: str
    on: tuple[str, ...] = ()
    by_sort: bool = False
    relative: bool = False
    own_shares: tuple[str, ...] = ()
    note: str = ""


def tables(finding: Finding, runs: Sequence[RunSummary]) -> Iterator[Table]:
    """The scores and their differences; then the relative ones, where they are wanted."""
    pairs, contrasts = select_metrics(runs, ()), list(contrasts_of(finding, runs))
    grounds = values(runs, finding.ground)
    order = {g: i for i, g in enumerate(grounds)}, values(runs, finding.key)
    places = {  # in the sweep's own order, ground by ground
        (order[0][c.ground], order[1].index(value)): arm
        for c in contrasts
        for value, arm in zip(c.what, (c.ours, c.theirs), strict=True)
    }
    lines = [
        Line([text_cell(arm.name), *(score_cell(list(arm.scores(*p).values())) for p in pairs)])
        for _, arm in sorted(places.items(), key=lambda item: item[0])
    ]
    lines += [
        Line([text_cell(f"{c.label}, {c.ground}"), *(c.difference(p).cell() for p in pairs)], True)
        for c in contrasts
    ]
    title = f"{finding.title}: {setting(runs)}"
    headings = ["", *(f"{task} {metric}" for task, metric in pairs)]
    words = " ".join(caption(finding, contrasts, pairs))
    warnings = list(budgets(contrasts))
    yield Table(finding.sweep, title, headings, lines, words, warnings=warnings)
    sorts = by_sort(pairs)
    if finding.relative and contrasts and len(sorts) == len(SORTS):
        yield relative_table(finding, contrasts, sorts)


def values(runs: Sequence[RunSummary], key: str) -> list[str]:
    """The values of a key, in the sweep's order."""
    return list(dict.fromkeys(str(run.keys.get(key)) for run in runs))


def setting(runs: Sequence[RunSummary]) -> str:
    """What all runs have in common, in short."""
    keys = ("model.name", "dataset.name", "num_clients", "num_rounds")
    model, dataset, clients, rounds = (" or ".join(values(runs, key)) for key in keys)
    return f"{model} on {dataset}, clients: {clients}, rounds: {rounds}"


def contrasts_of(finding: Finding, runs: Sequence[RunSummary]) -> Iterator[Contrast]:
    """The comparisons for which there are runs."""
    every = values(runs, finding.key)
    ours = finding.ours or [value for value in every if value not in finding.theirs]
    for ground in finding.on or values(runs, finding.ground):
        for one, other in product(ours, finding.theirs):
            mine, their = (
                Arm.of(runs, {finding.key: value, finding.ground: ground}) for value in (one, other)
            )
            if mine.runs and their.runs:
                yield Contrast((one, other), ground, mine, their)
                if other in finding.own_shares:
                    yield Contrast((one, other), ground, mine, their, OWN_SHARES)


def caption(
    finding: Finding, contrasts: Sequence[Contrast], pairs: Sequence[Pair]
) -> Iterator[str]:
    """The paper's claim, and how often it is so here."""
    yield f"FedVLMBench: {finding.claim}."
    if not contrasts:
        yield "Here there are no runs to compare."
        return
    sorts = by_sort(pairs) if finding.by_sort else {"": list(pairs)}
    words = []
    for label, (sort, own) in product(dict.fromkeys(c.label for c in contrasts), sorts.items()):
        differences = [c.difference(pair) for c in contrasts if c.label == label for pair in own]
        where = f" on {sort} tasks ({', '.join(task for task, _ in own)})" if sort else ""
        words.append(f"{label}{where} {tally(differences)}")
    yield f"Here: {'; '.join(words)}."
    yield finding.note


def by_sort(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The tasks of each sort; a task of none is left out, and so is a sort without tasks."""
    own = {sort: [pair for pair in pairs if pair[0] in tasks] for sort, tasks in SORTS.items()}
    return {sort: pairs_of for sort, pairs_of in own.items() if pairs_of}


def relative_table(
    finding: Finding, contrasts: Sequence[Contrast], sorts: Mapping[str, Sequence[Pair]]
) -> Table:
    """Changes in per cent by sort of task, and how far the two sorts differ."""
    rows, gaps = [], []
    for each in contrasts:
        vision, text = each.relative(sorts["vision"]), each.relative(sorts["text"])
        gaps.append(Difference(vision.ours, text.ours) if text.ours else Difference([], []))
        cells = [one.cell(1, " %") for one in (vision, text, gaps[-1])]
        rows.append(Line([text_cell(f"{each.label}, {each.ground}"), *cells]))
    words = (
        "Metrics differ by task: these are means over the tasks of a sort of the change in per "
        "cent of the score that it starts from (a dash: of 0). Vision tasks less text tasks "
        f"(lower: vision tasks lose more): {tally(gaps)}."
    )
    heads = ["", "vision tasks", "text tasks", "vision less text"]
    return Table(finding.sweep, f"{finding.title}, in per cent", heads, rows, words)


def budgets(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """What is not comparable as it stands."""
    for each in contrasts:
        ours, theirs = (
            sorted({run.steps for run in arm.runs.values()}) for arm in (each.ours, each.theirs)
        )
        if ours != theirs and each.form != OWN_SHARES:
            numbers = " and ".join(", ".join(map(str, own)) for own in (ours, theirs))
            yield f"Unequal budgets: {each.label}, {each.ground}: {numbers} optimizer steps."
