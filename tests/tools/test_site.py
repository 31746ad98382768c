"""The documentation's site, built as `make docs` does, and looked at from the disk."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import MISSING, PROGRAM, browsing

pytest.importorskip("material", reason="mkdocs-material is not installed (extra docs)")
ROOT = Path(__file__).parents[2]
LOOKED_AT = ("index.html", "quick_start.html", "algorithms.html", "results/index.html")


def build(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (line,) = re.findall(r"-m mkdocs build .*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    return subprocess.run(
        [sys.executable, *shlex.split(line), "--site-dir", str(folder), *options],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(folder, DOCS_REPO_URL="")
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_docs_is_on_the_site(built: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in ROOT.glob("docs/**/*.md")}
    names = {path.relative_to(built).with_suffix("") for path in built.rglob("*.html")}
    index = {Path("results/README"): Path("results/index")}
    assert {index.get(page, page) for page in pages} <= names
    assert {Path("quick_start"), Path("add_an_algorithm"), Path("contributing")} <= names


def test_a_page_without_a_place_and_a_link_to_nothing_end_the_build(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "docs" / "new.md").write_text("# New\n\n[x](../no.py) [y](models.md#no)\n")
    lines = [f"INHERIT: {ROOT / 'mkdocs.yml'}", "docs_dir: docs"]
    lines += [f"hooks: [{ROOT / 'tools' / 'site_pages.py'}]"]
    (tmp_path / "mkdocs.yml").write_text("\n".join(lines))
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode == 1
    for part in ("  - new.md", "docs/new.md links to ../no.py", "anchor '#no'"):
        assert part in done.stderr


def test_nothing_comes_from_a_network(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loads = r'<(?:script|img|iframe)[^>]*\bsrc="?([^" >]+)|<link[^>]*\bhref="?([^" >]+)'
        sources = ["".join(found) for found in re.findall(loads, text)]
        assert sources and [source for source in sources if "//" in source] == []
        assert "../strategies" not in text


def test_the_repository_s_address_is_linked_to_where_there_is_one(tmp_path: Path) -> None:
    done = build(tmp_path / "site", DOCS_REPO_URL="https://git.example/us/fedvlm_flwr")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "site" / "architecture.html").read_text(encoding="utf-8")
    assert "https://git.example/us/fedvlm_flwr/blob/main/strategies/core/loop.py" in text


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_pages_look_right_on_a_desktop_and_a_telephone(built: Path, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as browser:
        for name in LOOKED_AT:
            for width in (1280, 390):
                browser.open((built / name).as_uri(), width)
                assert browser.errors == []
                assert [url for url in browser.requests if url.startswith("http")] == []
                assert browser.value("document.documentElement.scrollWidth") <= width, name
        assert _hits(browser, "scaffold") > 0


def _hits(browser, words: str) -> int:
    """How many pages the site's search shows, opened from the disk."""
    browser.value("document.querySelector('[for=__search]').click()")
    script = """new Promise(done => {
      const field = document.querySelector('[data-md-component=search-query]');
      const end = Date.now() + 8000;
      field.focus(); field.value = WORDS;
      const look = () => {
        field.dispatchEvent(new Event('keyup')); field.dispatchEvent(new Event('input'));
        const count = document.querySelectorAll('.md-search-result__item').length;
        count || Date.now() > end ? done(count) : setTimeout(look, 100);
      };
      look();
    })""".replace("WORDS", repr(words))
    order = {"expression": script, "returnByValue": True, "awaitPromise": True}
    return int(browser.call("Runtime.evaluate", **order)["result"]["value"])
