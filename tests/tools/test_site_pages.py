"""Links and excerpts of the documentation's site, by hand."""

import pytest

pytest.importorskip("mkdocs", reason="mkdocs-material is not installed (extra docs)")

from tools.site_pages import EXCERPTS, ROOT, Excerpt, relinked

REPOSITORY = "https://git.example/fedvlm_flwr/"
AT = f"{REPOSITORY}blob/main"


def site(text: str, source: str, page: str, repository: str | None = None) -> str:
    """The text as the site has it; nothing in it is missing."""
    faults: list[tuple[str, ...]] = []
    result = relinked(text, source, page, repository, lambda *words: faults.append(words))
    assert faults == []
    return result


@pytest.mark.parametrize(
    ("text", "path", "address"),
    [
        (
            "[base.py](../strategies/base.py)",
            "`strategies/base.py`",
            "[base.py]({}/strategies/base.py)",
        ),
        ("[`conf/model`](../conf/model)", "`conf/model`", "[`conf/model`]({}/conf/model)"),
        (
            "[a rule](../strategies/fedavg.py)",
            "a rule (`strategies/fedavg.py`)",
            "[a rule]({}/strategies/fedavg.py)",
        ),
    ],
)
def test_a_link_out_of_the_docs_is_the_repository_s_or_a_path(
    text: str, path: str, address: str
) -> None:
    assert site(text, "docs/models.md", "models.md") == path
    assert site(text, "docs/models.md", "models.md", REPOSITORY) == address.format(AT)


@pytest.mark.parametrize(
    ("page", "text", "result"),
    [
        ("site.md", "[x](deploy.md#a-site)", "[x](deploy.md#a-site)"),
        ("site.md", "![x](report_phone.png)", "![x](report_phone.png)"),
        ("quick_start.md", "[x](docs/deploy.md)", "[x](deploy.md)"),
        ("quick_start.md", "[x](docs/results)", "[x](results/README.md)"),
        ("quick_start.md", '<img src="docs/report_phone.png">', '<img src="report_phone.png">'),
        ("quick_start.md", "[docs/gpus.md](docs/gpus.md)", "[GPUs and clusters](gpus.md)"),
        ("quick_start.md", "[x](https://flower.ai) [y](#z)", "[x](https://flower.ai) [y](#z)"),
        ("quick_start.md", "```\n[x](docs/deploy.md)\n```", "```\n[x](docs/deploy.md)\n```"),
        ("results/README.md", "[x](../models.md)", "[x](../models.md)"),
        ("gpus.md", "[x](../README.md#limits)", "[x](quick_start.md#limits)"),
        ("gpus.md", "[x](../CONTRIBUTING.md)", "[x](contributing.md)"),
        ("gpus.md", "[x](../CONTRIBUTING.md#an-algorithm-whole)", "[x](add_an_algorithm.md)"),
        ("add_an_algorithm.md", "[x](CONTRIBUTING.md#manners)", "[x](contributing.md#manners)"),
    ],
)
def test_a_link_within_the_docs_leads_to_its_page(page: str, text: str, result: str) -> None:
    source = EXCERPTS[page].source if page in EXCERPTS else f"docs/{page}"
    assert site(text, source, page) == result


def test_a_link_to_nothing_is_a_warning() -> None:
    faults: list[tuple[str, ...]] = []
    relinked("[x](../no/such.py)", "docs/site.md", "site.md", None, lambda *w: faults.append(w))
    relinked('<img src="a.png">', "docs/site.md", "site.md", None, lambda *w: faults.append(w))
    names = [("docs/site.md", "../no/such.py"), ("docs/site.md", "a.png")]
    assert [words[1:] for words in faults] == names


def test_an_excerpt_has_its_sections_and_no_others() -> None:
    text = "# All\n\nFirst.\n\n## A\n\nOf a.\n\n## B\n\nOf b.\n"
    assert Excerpt("x", "T", ("B",)).markdown(text).split() == ["#", "T", "Of", "b."]
    both = Excerpt("x", "T", ("A",), with_opening=True).markdown(text)
    assert both.split() == ["#", "T", "First.", "##", "A", "Of", "a."]
    with pytest.raises(KeyError, match="C"):
        Excerpt("x", "T", ("C",)).markdown(text)


def test_no_section_of_a_source_is_left_out() -> None:
    for source in {excerpt.source for excerpt in EXCERPTS.values()}:
        lines = (ROOT / source).read_text(encoding="utf-8").splitlines()
        titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
        pages = [excerpt for excerpt in EXCERPTS.values() if excerpt.source == source]
        assert sorted(titles) == sorted(title for page in pages for title in page.sections)
