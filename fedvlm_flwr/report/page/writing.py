"""Everything that a report writes: the page, its tables in every form, its pictures in both."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedvlm_flwr.contracts import PageSection, TableForm
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.paths import atomic_path, write_atomic
from fedvlm_flwr.plugins import available, load_as
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.page.parts import Grid, Panels, Section
from fedvlm_flwr.report.page.render import render
from fedvlm_flwr.report.pictures.style import Picture, as_png, as_svg
from fedvlm_flwr.report.tables.base import Table

SECTIONS, FORMS = "fedvlm_flwr.report.sections", "fedvlm_flwr.report.tables"
PAGE, TABLES, PICTURES = "report.html", "tables", "pictures"


def sections_of(experiment: Experiment, *, growing: bool = False) -> list[Section]:
    """The sections that have something to show, in the page's order.

    Args:
        growing: whether the run goes on: only what its folder alone tells.

    Raises:
        FedVLMError: a file of a run is damaged.
    """
    modules = [load_as(PageSection, SECTIONS, name, "section") for name in available(SECTIONS)]
    here = [module for module in modules if module.GROWS or not growing]
    ordered = sorted(here, key=lambda module: module.ORDER)
    return [part for module in ordered if (part := module.section(experiment)) is not None]


def write_report(experiment: Experiment, folder: Path) -> Path:
    """Write all files of a report; returns the page's path.

    Raises:
        RunError: the folder cannot be written.
        FedVLMError: a file of a run is damaged.
    """
    sections = sections_of(experiment)
    try:
        for name in (TABLES, PICTURES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for table in tables_in(sections):
            for form in available(FORMS):
                module = load_as(TableForm, FORMS, form, "form of tables")
                write_atomic(folder / TABLES / f"{table.name}{module.ENDING}", module.write(table))
        for picture in pictures_in(sections):
            _draw(picture, folder / PICTURES)
        write_atomic(folder / PAGE, render(experiment, sections))
    except OSError as error:
        raise RunError(
            f"The report cannot be written to {folder} ({error.strerror}); choose another --out."
        ) from error
    return folder / PAGE


def tables_in(sections: Sequence[Section]) -> Iterator[Table]:
    """Every table of the page."""
    yield from (p.table for one in sections for p in one.parts if isinstance(p, Grid))


def pictures_in(sections: Sequence[Section]) -> Iterator[Picture]:
    """Every picture of the page."""
    for one in sections:
        for part in one.parts:
            yield from part.pictures if isinstance(part, Panels) else ()


def _draw(picture: Picture, folder: Path) -> None:
    figure = picture.draw(True)
    write_atomic(folder / f"{picture.name}.svg", as_svg(figure, picture.name))
    figure.set_layout_engine("none")  # it has its layout
    with atomic_path(folder / f"{picture.name}.png") as temporary:
        temporary.write_bytes(as_png(figure))
