"""The page of a real run as a browser shows it, at a desktop's and a telephone's width."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedvlm_flwr.report.page.render import render
from fedvlm_flwr.report.page.writing import sections_of
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.run_folder import RunFolder
from tests.browser import MISSING, PROGRAM, Browser, browsing
from tests.fedvlm_flwr.report.folders import line, write_run

WIDTHS = (1280, 390)
# Elements that stick out to the right of the page, but for those in a part that scrolls by itself
# and what a drawing cuts off.
STICKING_OUT = """
    Array.from(document.querySelectorAll("body *"))
      .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, svg *"))
      .map(e => e.tagName).join(" ")
"""
LUMINANCE = "getComputedStyle(document.body).backgroundColor"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(start: Callable[..., RunFolder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a real run, whose test set has boxes."""
    folder = start("num_rounds=1", "partition=dirichlet", "eval.shuffled=false")
    return page_of(folder.path, tmp_path_factory.mktemp("report"))


def page_of(root: Path, folder: Path) -> Path:
    experiment = read_experiment(root)
    path = folder / "report.html"
    path.write_text(render(experiment, sections_of(experiment)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a sweep whose tables are wider than any screen, with words that no line breaks."""
    root = tmp_path_factory.mktemp("wide")
    for dataset in ("d" * 60, "e" * 60, "f" * 60):
        for algorithm in ("fedavg", "a" * 70):
            more = [line(1, f"client:{k}", "vqa", "local_accuracy", 0.1 * k) for k in range(2)]
            more += [line(1, "client:1", "train", "failure", "x" * 290)]
            write_run(
                root / f"{dataset}-{algorithm}",
                [0.1, 0.5],
                more,
                dataset=dataset,
                algorithm=algorithm,
            )
    return page_of(root, root)


def require_good(browser: Browser, page: Path, width: int, *, dark: bool = False) -> None:
    browser.open(page.as_uri(), width, dark=dark)
    assert browser.errors == []
    assert [a for a in browser.requests if not a.startswith("data:")] == [page.as_uri()]
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(STICKING_OUT) == ""


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_s_page(browser: Browser, page: Path, width: int) -> None:
    require_good(browser, page, width)
    counts = {name: browser.value(f"document.querySelectorAll('{name}').length") for name in COUNTS}
    assert all(counts.values()), counts


COUNTS = ("table", ".panel svg", "article.card", "svg.shot image", "rect.true", "rect.predicted")


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wide_scrolls_inside_the_page(browser: Browser, wide: Path, width: int) -> None:
    require_good(browser, wide, width)
    widest = "Math.max(...Array.from(document.querySelectorAll('table')).map(e => e.scrollWidth))"
    assert browser.value(widest) > width


def test_colors_are_those_that_the_reader_prefers(browser: Browser, page: Path) -> None:
    require_good(browser, page, 390, dark=True)
    ink = "getComputedStyle(document.querySelector('.panel svg text')).fill"
    dark = browser.value(LUMINANCE), browser.value(ink)
    require_good(browser, page, 390)
    light = browser.value(LUMINANCE), browser.value(ink)
    assert dark[0] != light[0] and dark[1] != light[1]


def test_a_page_with_faults_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """The checks above can fail."""
    bad = tmp_path / "bad.html"
    text = "<p style='width:900px'>x</p><script>console.error('x')</script>"
    bad.write_text(
        f"<meta name=viewport content='width=device-width'>{text}<img src=http://127.0.0.1:1024/x>"
    )
    browser.open(bad.as_uri(), 390)
    assert browser.errors and browser.value("document.documentElement.scrollWidth") > 390
    assert [a for a in browser.requests if a.startswith("http")]
