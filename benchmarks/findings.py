"""What FedVLMBench has found, looked at again on several seeds: a small table for each finding.

    python benchmarks/findings.py [--out findings] [--seeds 0 1 2] [KEY=VALUE ...]

Three of the named sweeps (docs/experiments.md), which the same command goes on with where it was
interrupted: connectors_by_dataset, strategies_by_partition and tasks_apart. Further words change
their model, datasets, budget or lists. Prints a page in Markdown and writes it into the folder.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finding_tables import Finding, tables, values
from benchmarks.sweeps import Options, run_sweep
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.report.noise import FEWEST, LEVEL, limits_of
from fedvlm_flwr.report.sweep import read_sweep
from fedvlm_flwr.report.tables import markdown
from fedvlm_flwr.report.tables.base import Table

ENGINE = "engine=inprocess"
FINDINGS = (
    Finding(
        title="Two layers against one and six",
        claim="a connector of two layers is the best",
        sweep="connectors_by_dataset",
        key="model.connector",
        ours=("mlp2x_gelu",),
        theirs=("linear", "mlp6x_gelu"),
        ground="tuning.name",
    ),
    Finding(
        title="F-CL against F-2stage at equal rounds",
        claim="F-CL is better than F-2stage",
        sweep="strategies_by_partition",
        key="tuning.name",
        ours=("f_cl",),
        theirs=("f_2stage",),
        ground="partition.name",
    ),
    Finding(
        title="The LLM's adapter against the connector, by task",
        claim="text tasks gain from tuning the LLM, vision tasks from tuning the connector",
        sweep="strategies_by_partition",
        key="tuning.name",
        ours=("f_l",),
        theirs=("f_c",),
        ground="partition.name",
        by_sort=True,
    ),
    Finding(
        title="Clients that differ against clients alike, by task",
        claim="data that are not IID hurt vision tasks much more than text tasks",
        sweep="strategies_by_partition",
        key="partition.name",
        theirs=("iid",),
        ground="tuning.name",
        on=("f_cl",),
        by_sort=True,
        relative=True,
    ),
    Finding(
        title="Federated against pooled and alone",
        claim="federated training on several tasks comes near training on the pooled records",
        sweep="tasks_apart",
        key="algorithm.name",
        ours=("fedavg",),
        theirs=("central", "local"),
        ground="partition.name",
        own_shares=("local",),
        note="Scores of local are means over the clients' models, each on the whole test set; on "
        "own shares each model has only questions like those that its client trains on.",
    ),
)


def page(every: Sequence[Table], seeds: int) -> str:
    """All tables, and what their numbers can say."""
    count = f"{seeds} seed{'s'[: seeds - 1]}"
    words = [
        f"Scores after the last round are means ± standard deviations over {count}; below them "
        "stand differences of runs with the same seed. Higher and lower (bold) is what a two-sided "
        f"paired t-test over the seeds tells apart (p < {LEVEL:g}); within the seeds' spread does "
        "not mean equal. Of twenty comparisons in which nothing differs about one comes out as "
        "higher or lower by chance; comparisons that share runs do so together.",
        f"It takes {FEWEST} seeds at least." if seeds < FEWEST else limits_of(seeds),
    ]
    text = "\n\n".join(word for word in words if word)
    body = "\n".join(f"## {markdown.write(each)}" for each in every)
    return f"# FedVLMBench's findings on {count}\n\n{text}\n\n{body}"


def tables_of(folders: Mapping[str, Path]) -> Iterator[Table]:
    """The tables of each finding, on each dataset.

    Args:
        folders: of the sweeps, by experiment.
    """
    for finding in FINDINGS:
        runs = read_sweep(folders[finding.sweep]).runs
        for dataset in values(runs, "dataset.name"):
            yield from tables(finding, [r for r in runs if r.keys.get("dataset.name") == dataset])


def main() -> None:
    """Run what is missing, then the page."""
    options = Options.read(sys.argv[1:], __doc__ or "", "findings")
    words = [ENGINE, options.seed_list, *options.overrides]
    names = dict.fromkeys(finding.sweep for finding in FINDINGS)
    folders = {name: run_sweep(options.out, [f"experiment={name}", *words]) for name in names}
    text = page(list(tables_of(folders)), len(options.seeds))
    print(text)
    write_atomic(options.out / "findings.md", text)


if __name__ == "__main__":
    main()
