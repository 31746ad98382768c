"""Who holds what: the partition as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from fedvlm_flwr.data.clients import field_of
from fedvlm_flwr.data.heterogeneity import LabelDistribution, label_distribution
from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.experiment import Experiment, file_name
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Panels, Part, Section, Text
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.saved_config import config_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 90
GROWS = False
MOST = 200  # clients of a picture


def section(experiment: Experiment) -> Section | None:
    """A heat map for each ground whose data is at hand; real sites have no partition."""
    parts: list[Part] = []
    for column, runs in experiment.columns.items():
        ground = experiment.column_label(column)
        try:
            parts += [part for part in [_of_ground(ground, runs[0])] if part is not None]
        except FedVLMError as error:
            parts.append(Text(f"{ground}: what the clients hold is not at hand: {error}", True))
    return Section("partition", "Who holds what", parts) if parts else None


def _of_ground(ground: str, run: History) -> Panels | None:
    config, process = config_of(run.folder), this_process()
    if config.engine.real_sites or config.fixed_clients > MOST:
        return None
    shares, table = process.shares(config), process.data(config).train
    labels = label_distribution(table, shares, field_of(config.partition) or "task")
    tests = [len(rows) for rows in process.test_shares(config)]
    picture = Picture(
        file_name("partition", ground),
        f"Training records of the clients by {labels.field}, {ground}",
        partial(_draw, labels, tests),
        _words(labels),
        wide=True,
    )
    caption = (
        f"{ground}, seed {run.seed}: training records by {labels.field}. Mean distance of a client "
        f"to the pool of all (total variation): {labels.distance:.3f}; 0 where all are alike."
    )
    return Panels([picture], caption)


def _draw(labels: LabelDistribution, tests: Sequence[int], has_legend: bool) -> Figure:
    from fedvlm_flwr.report.heatmap import heatmap_figure

    del has_legend  # the bars' is a part of the picture
    return heatmap_figure(labels, tests, "")


def _words(labels: LabelDistribution) -> str:
    sizes = labels.counts.sum(axis=1)
    return f"{len(sizes)} clients with {sizes.min():,} to {sizes.max():,} training records each"
