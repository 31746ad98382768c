"""The documentation's site: pages taken from README.md and CONTRIBUTING.md, links out of docs/.

mkdocs loads this file as a hook (`mkdocs.yml`). On a checkout a link leads to any file of the
repository; a site has only what lies in docs/. So a link to a file outside leads to the
repository's address where `repo_url` names one, and is the file's path as code where it does not.
A link to nothing is a warning, which `mkdocs build --strict` takes for an error.
"""

import logging
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs"
BRANCH = "main"  # of the repository, that links lead to
LOG = logging.getLogger(f"mkdocs.hooks.{__name__}")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
SOURCE = re.compile(r'(?<=\bsrc=")([^"]+)(?=")')


@dataclass(frozen=True)
class Excerpt:
    """A page of the site that is part of a file outside docs/."""

    source: str
    """The file, from the repository's root."""
    title: str
    sections: tuple[str, ...]
    """Titles of its second-level sections."""
    with_opening: bool = False
    """Whether what stands before the first section is on the page too."""

    def markdown(self, text: str) -> str:
        """The page.

        Args:
            text: of the whole source.

        Raises:
            KeyError: the source has no section of such a title.
        """
        opening, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
        bodies = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
        start = opening.partition("\n")[2] if self.with_opening else ""
        heads = ["" if self.stands_alone else f"## {name}\n" for name in self.sections]
        texts = [head + bodies[name] for head, name in zip(heads, self.sections, strict=True)]
        return "\n".join([f"# {self.title}\n", start, *texts])

    @property
    def stands_alone(self) -> bool:
        """Whether one section is all of the page, whose title takes its own title's place."""
        return len(self.sections) == 1 and not self.with_opening

    @property
    def anchors(self) -> set[str]:
        """Anchors of its sections."""
        return {f"#{slug(title)}" for title in self.sections}


EXCERPTS = {
    "quick_start.md": Excerpt(
        "README.md",
        "Quick start",
        ("First run", "Run it your way", "What to choose", "What a run leaves behind", "Limits"),
    ),
    "contributing.md": Excerpt(
        "CONTRIBUTING.md", "Contributing", ("Where things go", "Manners"), with_opening=True
    ),
    "add_an_algorithm.md": Excerpt("CONTRIBUTING.md", "Add an algorithm", ("An algorithm, whole",)),
    "add_a_task.md": Excerpt("CONTRIBUTING.md", "Add a task", ("A task, whole",)),
}


# -- what mkdocs calls -----------------------------------------------------------------------------


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Put the excerpts beside the pages of docs/."""
    for name, excerpt in EXCERPTS.items():
        text = (ROOT / excerpt.source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=excerpt.markdown(text)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make a page's links those of the site."""
    name = page.file.src_uri
    source = EXCERPTS[name].source if name in EXCERPTS else f"{DOCS}/{name}"
    return relinked(markdown, source, name, config.repo_url)


# -- links -----------------------------------------------------------------------------------------


def relinked(
    text: str,
    source: str,
    page: str,
    repository: str | None,
    warn: Callable[..., None] = LOG.warning,
) -> str:
    """A page's text with the links that a site can follow.

    Args:
        source: the file that the text is of, from the repository's root.
        page: where it is shown, from docs/.
        repository: the address of the repository; None: it has none.
        warn: is told of each link to a file that is not there.
    """

    def link(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        if _is_elsewhere(target):
            return match[0]
        place, anchor = _place(target, source)
        if not (ROOT / place).exists():
            warn("%s links to %s, which is not there", source, target)
        if (inside := _inside(place, anchor, page)) is not None:
            label = _title(place, anchor) if label.endswith(".md") else label
            return f"{mark}[{label}]({inside})"
        if repository:
            return f"{mark}[{label}]({repository.rstrip('/')}/blob/{BRANCH}/{place}{anchor})"
        bare = label.strip("`")
        return f"`{place}`" if place.endswith(bare) else f"{label} (`{place}`)"

    def image(match: re.Match[str]) -> str:
        if _is_elsewhere(match[0]):
            return match[0]
        place, _ = _place(match[0], source)
        inside = _inside(place, "", page)
        if inside is None or not (ROOT / place).exists():
            warn("%s shows %s, which is no picture below docs/", source, match[0])
        return inside or match[0]

    pieces = FENCE.split(text)  # code stays as it is
    pieces[::2] = [SOURCE.sub(image, LINK.sub(link, piece)) for piece in pieces[::2]]
    return "".join(pieces)


def _is_elsewhere(target: str) -> bool:
    return target.startswith("#") or ":" in target


def _place(target: str, source: str) -> tuple[str, str]:
    """The file that a link leads to, from the repository's root, and the anchor in it."""
    path, sign, anchor = target.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path)), f"{sign}{anchor}"


def _title(place: str, anchor: str) -> str:
    """What a link says that is a page's file name on a checkout."""
    if name := _excerpt_with(place, anchor):
        return EXCERPTS[name].title
    return (ROOT / place).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _inside(place: str, anchor: str, page: str) -> str | None:
    """The link from a page to a place of the site; None where the site has none."""
    here = posixpath.dirname(page) or "."
    if name := _excerpt_with(place, anchor):
        is_title = EXCERPTS[name].stands_alone and anchor in EXCERPTS[name].anchors
        return posixpath.relpath(name, here) + ("" if is_title else anchor)
    if (ROOT / place / "README.md").is_file():  # a checkout shows it with its folder
        place = f"{place}/README.md"
    if not place.startswith(f"{DOCS}/"):
        return None
    return posixpath.relpath(posixpath.relpath(place, DOCS), here) + anchor


def _excerpt_with(place: str, anchor: str) -> str | None:
    """The page taken from a file: the one that has the anchor's section, else the first."""
    pages = [name for name, excerpt in EXCERPTS.items() if excerpt.source == place]
    return min(pages, key=lambda name: anchor not in EXCERPTS[name].anchors, default=None)


def slug(title: str) -> str:
    """A heading's anchor as a checkout's pages have it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())
