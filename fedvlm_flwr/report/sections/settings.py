"""Every value of the configuration."""

from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.page.parts import Fold, Section, Text

ORDER = 200
GROWS = True


def section(experiment: Experiment) -> Section | None:
    """The configuration of the first run, and which keys differ in the others."""
    first = experiment.histories[0]
    lines = [f"{key}: {value}" for key, value in sorted(first.keys.items())]
    parts: list[Fold | Text] = [Fold(f"Configuration of {first.name}", "\n".join(lines))]
    if not experiment.is_single:
        names = ", ".join(sorted({*experiment.keys, "seed"}))
        parts.insert(0, Text(f"The runs differ in: {names}."))
    return Section("configuration", "Configuration", parts)
