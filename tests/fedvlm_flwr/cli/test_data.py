"""`fedvlm data`: what it prints and draws."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from fedvlm_flwr.cli import main
from fedvlm_flwr.cli.data import ShareCounts, as_text
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.heterogeneity import LabelDistribution
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.heatmap import COLUMNS, draw_heatmap, most_frequent

FEW = ["dataset.train_pictures=60", "dataset.test_pictures=20"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys, *words):
    assert main(["data", "--format", "json", *FEW, *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_help_and_wrong_usage(capsys):
    assert main(["data", "--help"]) == 0
    assert "usage: fedvlm data" in capsys.readouterr().out
    assert main(["data", "--format", "yaml"]) == 2
    assert main(["data", "--fly"]) == 2


def test_one_task_a_client_is_told_as_numbers_and_drawn(capsys, here):
    assert main(["data", *FEW, "partition=task", "num_clients=4"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("dataset=easyvqa partition=task partition.by=task ")
    heading = r"^ client +records +pictures +test +distance +effective"
    assert re.search(heading + r" +captioning +classification +detection +vqa$", text, re.M)
    # 60 training pictures have a caption, a box, two classes and some questions each.
    rows = re.findall(r"^ (\d) +(\d+) +60 +(\d+) +0\.\d{3} +([\d.]+) +(.+)$", text, re.M)
    assert [row[1] for row in rows][:3] == ["60", "120", "60"]
    assert [row[2] for row in rows][:3] == ["20", "40", "20"]
    assert [row[3] for row in rows] == ["1.0"] * 4
    assert rows[1][4].split() == [".", "120", ".", "."]
    assert re.search(r"^mean distance by task: 0\.750$", text, re.M)
    assert text.rstrip().endswith("heat map: easyvqa_task.png")
    with Image.open(here / "easyvqa_task.png") as picture:
        assert picture.format == "PNG" and picture.width > 600


def test_the_numbers_are_those_of_the_clients(capsys):
    words = ["partition=dirichlet", "partition.by=shape", "num_clients=3", "seed=2"]
    found = told(capsys, *words)
    process = this_process()
    config = process.compose({"overrides": " ".join([*FEW, *words])})
    data, shares = process.data(config), process.shares(config)
    assert found["field"] == "shape" and set(found["distance"]) == {"shape", "task"}
    for client, rows in zip(found["clients"], shares, strict=True):
        shapes = data.train.select(rows)["shape"][:]
        assert client["counts"] == {shape: shapes.count(shape) for shape in set(shapes)}
        assert client["records"] == len(rows) == sum(client["counts"].values())
        assert client["pictures"] == len(set(data.train.select(rows)["image"][:]))
    assert [client["test"] for client in found["clients"]] == [
        len(rows) for rows in process.test_shares(config)
    ]
    mean = sum(client["distance"] for client in found["clients"]) / 3
    assert found["distance"]["shape"] == pytest.approx(mean)


def test_a_field_of_choice_and_a_file_of_choice(capsys, here):
    found = told(capsys, "--by", "color", "--out", "maps/color.png", "num_clients=2")
    assert found["field"] == "color" and found["heat_map"] == "maps/color.png"
    assert (here / "maps" / "color.png").stat().st_size > 10_000


def test_even_parts_are_nearer_to_the_pool_than_uneven_ones(capsys):
    distance = {
        partition: told(capsys, f"partition={partition}", "num_clients=3", "--by", "shape_color")[
            "distance"
        ]["shape_color"]
        for partition in ("iid", "skewed")
    }
    assert distance["iid"] < distance["skewed"]


def test_a_wide_table_shows_the_most_frequent_values_and_fits(capsys):
    assert main(["data", *FEW, "num_clients=2", "--by", "id"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 200
    everything = next(line for line in lines if line.startswith(" all")).split()
    records = int(everything[1])
    shown = [int(number) for number in everything[5:]]  # after the distance
    assert 3 < len(shown) <= 20 and sum(shown) == records


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["--by", "organ"],
            r"--by=organ is no field .* id, image, task, shape, color, shape_color",
        ),
        (["partition=natural", "partition.by=organ"], r"partition\.by=organ is no field .*shape"),
        (["partition=published"], "does not say whose a record is"),
        (["num_clients=61"], "num_clients=61 but"),
        (["--out", "map.jpg"], r"--out map\.jpg must name a PNG picture"),
        (["--out", "file/map.png"], r"cannot be written to file/map\.png .* another --out"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(words, why, capsys, here):
    (here / "file").write_text("no folder")
    assert main(["data", *FEW, *words]) == 1
    error = capsys.readouterr().err
    assert re.match(f"error: .*{why}", error) and error.count("\n") == 1
    assert not list(here.glob("*.png"))


def test_rare_values_become_one_column():
    counts = np.array([[5, 1, 2, 3], [0, 1, 2, 3]])
    found = most_frequent(LabelDistribution("organ", ["a", "b", "c", "d"], counts), 3)
    # Totals: a 5, b 2, c 4, d 6. The two most frequent stay, by name.
    assert found.values == ["a", "d", "2 others"]
    assert found.counts.tolist() == [[5, 3, 3], [0, 3, 3]]
    assert most_frequent(found, 3) is found


def test_a_large_picture_stays_readable_and_bounded(here):
    counts = np.random.default_rng(0).poisson(2.0, (30, 2 * COLUMNS)) + 1
    values = [f"variant number {i} with a long name" for i in range(2 * COLUMNS)]
    draw_heatmap(LabelDistribution("variant", values, counts), [0] * 30, "title", here / "map.png")
    with Image.open(here / "map.png") as picture:
        assert 130 * 15 < picture.width < 130 * 30
        assert 130 * 5 < picture.height < 130 * 12
    with pytest.raises(ConfigError, match="choose another --out"):
        draw_heatmap(
            LabelDistribution("v", ["a"], np.ones((1, 1), int)),
            [0],
            "t",
            here / "map.png" / "x.png",
        )


def test_values_of_any_text_are_shown_as_they_are(here):
    values = ["$\\frac", "[red]", "two\nlines"]
    found = LabelDistribution("organ", values, np.ones((2, 3), int))
    draw_heatmap(found, [1, 2], "dataset=$\\frac", here / "map.png")
    text = as_text(compose({}), ShareCounts(found, found, [3, 3], 6, [1, 2]))
    assert re.search(r"effective +\$\\frac +\[red\] +lines$", text, re.M)
