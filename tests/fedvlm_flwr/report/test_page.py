"""A report's sections and its page, on run folders made by hand."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.report.experiment import Experiment, file_name
from fedvlm_flwr.report.page.parts import Cards, Fold, Panels, Section, Text
from fedvlm_flwr.report.page.render import render
from fedvlm_flwr.report.page.writing import pictures_in, sections_of, tables_in, write_report
from fedvlm_flwr.report.pictures.style import as_svg
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.tables.base import Line, Table
from tests.fedvlm_flwr.report.folders import line, write_run

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three algorithms and a baseline on two partitions, three seeds; one is best on iid."""
    root = tmp_path_factory.mktemp("sweep")
    ends = {"fedavg": 0.5, "fedprox": 0.8, "krum": 0.52, "central": 0.95}
    for algorithm, end in ends.items():
        for partition, noise in (("iid", 0.001), ("dirichlet", 0.3)):
            for seed in SEEDS:
                wave = noise * (seed - 1) * (-1 if algorithm == "fedprox" else 1)
                more = [
                    *(
                        line(2, f"client:{k}", "vqa", "local_accuracy", end + k / 10)
                        for k in (0, 1)
                    ),
                    *(
                        [line(0, "server", "train", "weighting", "uniform")]
                        if algorithm == "krum"
                        else []
                    ),
                ]
                write_run(
                    root / f"{algorithm}-{partition}-{seed}",
                    [0.25, 0.4, end + wave],
                    more,
                    algorithm=algorithm,
                    partition=partition,
                    seed=seed,
                    steps=20 if (algorithm, partition) == ("central", "iid") else 10,
                )
    return root


@pytest.fixture(scope="module")
def experiment(sweep: Path) -> Experiment:
    return read_experiment(sweep)


@pytest.fixture(scope="module")
def sections(experiment: Experiment) -> dict[str, Section]:
    return {section.name: section for section in sections_of(experiment)}


def table_of(section: Section) -> Table:
    return next(tables_in([section]))


def row(table: Table, name: str) -> Line:
    (own,) = (line for line in table.lines if line.cells[0].text.startswith(name))
    return own


def test_rows_are_algorithms_and_columns_partitions_and_scores(sections: dict) -> None:
    table = table_of(sections["scores"])
    names = [line.cells[0].text for line in table.lines]
    assert names == ["before training", "fedavg !", "fedprox !", "krum !", "central !"]
    heads = {"dirichlet: vqa accuracy", "iid: vqa accuracy"}
    assert set(table.full_headings()) == {"", *heads}
    at = list(table.full_headings()).index("iid: vqa accuracy")
    assert row(table, "fedavg").cells[at].numbers == pytest.approx((0.5, 0.001))
    assert row(table, "central").baseline and not row(table, "krum").baseline


def test_the_best_federated_row_is_bold_where_a_test_tells_it(sections: dict) -> None:
    table = table_of(sections["scores"])
    at = list(table.full_headings()).index("iid: vqa accuracy")
    bold = {
        (line.cells[0].text, i) for line in table.lines for i, c in enumerate(line.cells) if c.bold
    }
    assert bold == {("fedprox !", at)}  # central is higher, and no federation
    assert "two-sided paired t-test over seeds" in table.caption
    assert "no less than p = 0.25" in table.caption
    assert "over 3 seeds" in table.caption


def test_captions_say_what_clients_count_by_and_budgets_are_marked(sections: dict) -> None:
    table = table_of(sections["scores"])
    words = "Clients count by their training examples in fedavg, fedprox, central; alike in krum."
    assert words in table.caption
    (warning,) = table.warnings
    assert (
        "Unequal budgets on iid" in warning and "central 80" in warning and "fedavg 40" in warning
    )


def test_clients_are_told_by_mean_worst_and_spread(sections: dict) -> None:
    """0.5 and 0.6, whatever the seed: mean 0.55, worst 0.5, deviation 0.05."""
    cells = row(table_of(sections["clients"]), "fedavg").cells[1:]
    assert [cell.numbers[0] for cell in cells] == pytest.approx([0.55, 0.5, 0.05])


def test_a_line_runs_over_what_the_rounds_have_used(experiment: Experiment) -> None:
    (run, *_) = experiment.histories
    assert run.spent("bytes") == {0: 0, 1: 2e6, 2: 4e6}
    assert run.spent("seconds") == {0: 0, 1: 3, 2: 6}


def test_cost_and_curves_are_there_and_no_radar_of_one_task(sections: dict) -> None:
    cells = row(table_of(sections["cost"]), "fedavg").cells
    assert [cell.numbers[0] for cell in cells[1:5]] == [10, 6, 3, 8]
    assert [len(p.pictures) for p in sections["curves"].parts if isinstance(p, Panels)] == [1, 1]
    assert {"efficiency", "failures", "configuration"} <= sections.keys()
    assert "tasks" not in sections


def test_what_is_not_at_hand_is_said(sections: dict) -> None:
    """These configurations hold no more than names: no data can be read by them."""
    texts = [part.text for part in sections["partition"].parts if isinstance(part, Text)]
    assert texts and all("not at hand" in text for text in texts)


def test_two_seeds_are_too_few_for_a_test(tmp_path: Path) -> None:
    for algorithm, end in (("fedavg", 0.1), ("fedprox", 0.9)):
        for seed in (0, 1):
            write_run(tmp_path / f"{algorithm}{seed}", [0.1, end], algorithm=algorithm, seed=seed)
    (section,) = (s for s in sections_of(read_experiment(tmp_path)) if s.name == "scores")
    table = table_of(section)
    assert not any(cell.bold for one in table.lines for cell in one.cells)
    assert "no test can tell rows apart with 2 seeds" in table.caption


def test_keys_that_come_with_a_dataset_make_no_rows(tmp_path: Path) -> None:
    """Answers of one dataset are longer: eval.max_new_tokens differs, and is no choice of a row."""
    for dataset, tokens in (("one", 16), ("two", 99)):
        for algorithm in ("fedavg", "fedprox"):
            write_run(
                tmp_path / f"{dataset}-{algorithm}",
                [0.1, 0.5],
                algorithm=algorithm,
                dataset=dataset,
                eval={"max_new_tokens": tokens},
            )
    experiment = read_experiment(tmp_path)
    assert list(map(experiment.row_label, experiment.rows)) == ["fedavg", "fedprox"]
    assert list(map(experiment.column_label, experiment.columns)) == ["one", "two"]


def test_keys_of_ones_own_make_columns_and_what_settings_say_makes_no_rows(tmp_path: Path) -> None:
    rates = {"shipped": (0.3, 0.3), "tuned": (0.1, 0.2)}
    for settings, own in rates.items():
        for algorithm, rate in zip(("fedavg", "fedprox"), own, strict=True):
            write_run(
                tmp_path / f"{algorithm}-{settings}",
                [0.5],
                algorithm=algorithm,
                settings=settings,
                train={"lr": rate},
            )
    experiment = read_experiment(tmp_path, column_keys=["settings"])
    assert [experiment.row_label(row) for row in experiment.rows] == ["fedavg", "fedprox"]
    assert [experiment.column_label(c) for c in experiment.columns] == ["shipped", "tuned"]
    rows = read_experiment(tmp_path).rows
    assert {experiment.row_label(row) for row in rows} >= {"fedavg, shipped", "fedprox, tuned"}
    with pytest.raises(ConfigError, match=r"--columns tuning is no key .* algorithm, settings"):
        read_experiment(tmp_path, column_keys=["tuning"])


def test_failures_are_by_client_and_reason(tmp_path: Path) -> None:
    bad = "it holds NaN"
    more = [line(n, "client:1", "train", "failure", bad) for n in (1, 2)]
    more += [line(2, "client:0", "train", "retried", "no reply within 5 s")]
    folder = write_run(tmp_path / "run", [0.1, 0.2, 0.3], more)
    (section,) = (s for s in sections_of(read_experiment(folder)) if s.name == "failures")
    rows = [[cell.text for cell in one.cells] for one in table_of(section).lines]
    assert rows == [
        ["run", "client 1", "left out", bad, "1-2", "2"],
        ["run", "client 0", "asked again", "no reply within 5 s", "2", "1"],
    ]


def test_real_sites_are_called_by_their_names(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0.1], [line(1, "client:1", "train", "failure", "late")])
    (folder / "sites.json").write_text(json.dumps({"0": "north", "1": "south"}))
    (run,) = read_experiment(folder).histories
    assert [one.client for one in run.failures] == ["site south"]


def test_names_of_files_are_plain_and_no_two_alike() -> None:
    assert file_name("curve", "partition.alpha=0.1", "vqa") == "curve-partition-alpha-0-1-vqa"
    long = "x" * 300
    names = [file_name(*words) for words in ((long, "a"), (long, "b"), ("ü",), ("ö",))]
    assert len(set(names)) == 4 and all(len(name) < 120 for name in names)


def test_everything_is_written(experiment: Experiment, sections: dict, tmp_path: Path) -> None:
    page = write_report(experiment, tmp_path)
    tables = sorted(path.name for path in (tmp_path / "tables").iterdir())
    names = {table.name for table in tables_in(list(sections.values()))}
    assert tables == sorted(f"{n}.{e}" for n in names for e in ("csv", "md", "tex"))
    pictures = {path.suffix: set() for path in (tmp_path / "pictures").iterdir()}
    for path in (tmp_path / "pictures").iterdir():
        pictures[path.suffix].add(path.stem)
    assert pictures.keys() == {".png", ".svg"} and pictures[".png"] == pictures[".svg"]
    for path in (tmp_path / "pictures").glob("*.svg"):
        ET.parse(path)
    require_alone(page.read_text(encoding="utf-8"))


class Reader(HTMLParser):
    """What a browser would load or run: elements, their attributes, and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.places: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.places.append(value or "")
            self.places += re.findall(r"url\(([^)]*)\)", value or "")
            self.handlers += [name] if name.startswith("on") else []


def require_alone(page: str) -> None:
    """Nothing is loaded from anywhere, no script runs."""
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "iframe", "object", "embed", "img", "base", "form"}
    assert reader.places and reader.handlers == []
    assert [a for a in reader.places if not a.startswith(("#", "data:"))] == []
    assert page.count("default-src 'none'") == 1
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style and "@import" not in style


HOSTILE = (
    r"""$\frac$ <script>alert(1)</script> " ' ]]> </style> --> {{ 7 * 7 }} """
    """<img src=http://x onerror=y>"""
)


def test_text_of_models_and_data_is_text(tmp_path: Path) -> None:
    """In a run's configuration, a client's words, a card of the gallery, a picture's title."""
    from fedvlm_flwr.report.page.parts import Answer, Card, Outline

    more = [line(1, "client:1", "train", "failure", HOSTILE)]
    folder = write_run(tmp_path / "run", [0.1, 0.2], more, algorithm=HOSTILE)
    experiment = read_experiment(folder)
    box = Outline("predicted", HOSTILE, (0.1, 0.1, 0.5, 0.5))
    answers = [Answer(HOSTILE, HOSTILE, True), Answer("x", HOSTILE, None)]
    card = Card(HOSTILE, HOSTILE, HOSTILE, HOSTILE, answers, "data:,", (9, 9), [box])
    more_sections = [Section("x", HOSTILE, [Cards(HOSTILE, [card]), Fold(HOSTILE, HOSTILE)])]
    page = render(experiment, [*sections_of(experiment), *more_sections], HOSTILE)
    require_alone(page)
    for picture in pictures_in(sections_of(experiment)):
        ET.fromstring(as_svg(picture.draw(True), picture.name))
    assert "&lt;script&gt;" in page
    assert "49" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg.replace("xlink:href", "href"))


def test_a_damaged_file_and_a_wrong_metric_are_named(tmp_path: Path, sweep: Path) -> None:
    folder = write_run(tmp_path / "run", [0.1, 0.2])
    (folder / "cost.json").write_text("{")
    with pytest.raises(RunError, match=r"cost\.json cannot be read"):
        sections_of(read_experiment(folder))
    with pytest.raises(ConfigError, match=r"Unknown metric 'vqa\.f1'"):
        sections_of(read_experiment(sweep, ["vqa.f1"]))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0.1, 0.2])
    (tmp_path / "tables").touch()
    with pytest.raises(RunError, match=r"cannot be written to .*choose another --out"):
        write_report(read_experiment(folder), tmp_path)


def test_unfinished_runs_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.1, 0.2])
    other = write_run(tmp_path / "b", [0.1], seed=1)
    facts = json.loads((other / "checkpoint.json").read_text())
    (other / "checkpoint.json").unlink()
    assert facts
    experiment = read_experiment(tmp_path)
    assert experiment.unfinished == ["b"]
    assert "not finished: b" in render(experiment, sections_of(experiment))
