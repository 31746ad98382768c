"""What changed between two models, by numbers worked out by hand."""

import json
from math import comb
from pathlib import Path

import pytest

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.changes import (
    Change,
    changed,
    compare_answers,
    mcnemar,
    read_answers,
)
from fedvlm_flwr.run_folder import PREDICTIONS, RunFolder


def write(folder: Path, rows: list[tuple]) -> RunFolder:
    """Predictions of (task, id, metric, score)."""
    folder.mkdir(exist_ok=True)
    lines = [
        {
            "round": 1,
            "task": task,
            "id": name,
            "question": f"q {name}?",
            "reference": "r",
            "prediction": f"{folder.name} says",
            "scores": {metric: score},
        }
        for task, name, metric, score in rows
    ]
    (folder / PREDICTIONS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunFolder(folder)


def vqa(scores: str) -> list[tuple]:
    return [("vqa", f"n{i}", "accuracy", float(c)) for i, c in enumerate(scores)]


def test_mcnemar_by_hand() -> None:
    """Of ten changes two against: 2 (1 + 10 + 45) / 1024; even ones are no evidence at all."""
    assert mcnemar(8, 2) == mcnemar(2, 8) == pytest.approx(112 / 1024)
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(3, 3) == mcnemar(0, 0) == pytest.approx(1.0)
    many = mcnemar(600, 400)
    assert many == pytest.approx(2 * sum(comb(1000, k) for k in range(401)) / 2**1000)
    assert mcnemar(100_000, 0) == 0.0


def test_right_and_wrong_answers_are_counted_by_direction(tmp_path: Path) -> None:
    first = read_answers(write(tmp_path / "a", vqa("1100010010")))
    second = read_answers(write(tmp_path / "b", vqa("1011110111")))
    (change,) = compare_answers(first, second)
    assert (change.task, change.metric, change.examples) == ("vqa", "accuracy", 10)
    assert (change.first, change.second) == (0.4, 0.8)
    assert (change.better, change.worse) == (5, 1)
    assert change.p == pytest.approx(2 * 7 / 64)
    assert change.low < 0.4 < change.high
    rows = changed(first, second, {"vqa": "accuracy"})
    assert [(row[0]["id"], row[2]) for row in rows] == [
        ("n1", -1.0),
        ("n2", 1.0),
        ("n3", 1.0),
        ("n4", 1.0),
        ("n7", 1.0),
        ("n9", 1.0),
    ]
    assert changed(first, second, {}) == []


def test_of_what_should_be_small_more_is_worse(tmp_path: Path) -> None:
    rows = [("detection", f"n{i}", "unparseable", 1.0) for i in range(3)]
    first = read_answers(write(tmp_path / "a", rows))
    second = read_answers(write(tmp_path / "b", [(*row[:3], 0.0) for row in rows]))
    (change,) = compare_answers(first, second)
    assert (change.better, change.worse) == (3, 0)


def test_real_valued_metrics_have_a_paired_interval(tmp_path: Path) -> None:
    """Each example gains 0.1, whatever it had: the paired interval has no width."""
    values = [0.0, 0.3, 0.9, 0.5]
    rows = [("detection", f"n{i}", "iou", v) for i, v in enumerate(values)]
    first = read_answers(write(tmp_path / "a", rows))
    second = read_answers(write(tmp_path / "b", [(*r[:3], r[3] + 0.1) for r in rows]))
    (change,) = compare_answers(first, second)
    assert isinstance(change, Change) and change.p is None
    assert (change.low, change.high) == (pytest.approx(0.1), pytest.approx(0.1))
    (same,) = compare_answers(first, first)
    assert (same.low, same.high) == (0.0, 0.0)


def test_examples_of_one_id_are_told_apart_by_their_order(tmp_path: Path) -> None:
    rows = [("vqa", "n", "accuracy", 1.0), ("vqa", "n", "accuracy", 0.0)]
    first = read_answers(write(tmp_path / "a", rows))
    assert len(first.records) == 2
    (change,) = compare_answers(first, read_answers(write(tmp_path / "b", rows[::-1])))
    assert (change.better, change.worse) == (1, 1)


def test_different_examples_are_refused_by_name(tmp_path: Path) -> None:
    first = read_answers(write(tmp_path / "a", vqa("110")))
    fewer = read_answers(write(tmp_path / "b", vqa("11")))
    with pytest.raises(
        RunError, match=r"different examples \(3 and 2\): 'n2' \(vqa\) is in .*a al"
    ):
        compare_answers(first, fewer)
    other = write(tmp_path / "c", vqa("110"))
    text = (other.path / PREDICTIONS).read_text()
    (other.path / PREDICTIONS).write_text(text.replace("q n1?", "what is it?"))
    with pytest.raises(RunError, match=r"the question of 'n1' .* is 'q n1[?]' in one and 'what is"):
        compare_answers(first, read_answers(other))


def test_predictions_without_scores_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", vqa("11"))
    text = (folder.path / PREDICTIONS).read_text()
    (folder.path / PREDICTIONS).write_text(text.replace('"scores"', '"old"'))
    with pytest.raises(RunError, match="has no scores by example"):
        read_answers(folder)
    (folder.path / PREDICTIONS).write_text("")
    with pytest.raises(RunError, match="holds no prediction"):
        read_answers(folder)
    (folder.path / PREDICTIONS).unlink()
    with pytest.raises(RunError, match=r"There is no .*: the clients have scored"):
        read_answers(folder)
