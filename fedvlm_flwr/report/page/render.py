"""The page as one HTML text that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.page import swatches
from fedvlm_flwr.report.page.own_markup import own_markup
from fedvlm_flwr.report.page.parts import Section
from fedvlm_flwr.report.pictures.style import Picture, inline

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent


def render(
    experiment: Experiment, sections: Sequence[Section], status: str = "", refresh: int = 0
) -> str:
    """The page.

    Args:
        status: a line below the title.
        refresh: seconds after which a browser loads it again; 0: it does not.
    """
    # Text of datasets and models is escaped by the template; what is marked here is our own.
    return _template().render(
        title=title_of(experiment),
        kind="a run" if experiment.is_single else "a sweep",
        sections=sections,
        style=own_markup((HERE / "style.css").read_text(encoding="utf-8")),
        swatches=swatches,
        inline=_inline,
        status=status,
        refresh=refresh,
        version=_version(),
    )


def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(
        "page.html"
    )


def _inline(picture: Picture) -> Markup:
    return own_markup(inline(picture))


def title_of(experiment: Experiment) -> str:
    """What is compared, or what the run was."""
    keys = experiment.histories[0].keys
    if experiment.is_single:
        names = (str(keys.get(f"{key}.name", "")) for key in ("algorithm", "dataset", "partition"))
        algorithm, dataset, partition = names
        ground = ", ".join(filter(None, (dataset, partition)))
        return f"{algorithm} on {ground}" if ground else algorithm or experiment.root.name
    varied = [key.removesuffix(".name") for key in experiment.keys]
    return (
        " \N{MULTIPLICATION SIGN} ".join(varied)
        if varied
        else f"{len(experiment.histories)} seeds of one run"
    )


def _version() -> str:
    try:
        return version("fedvlm-flwr")
    except PackageNotFoundError:
        return ""
