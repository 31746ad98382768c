"""The table at the end of a run."""

from pathlib import Path

import pytest

from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import METRICS, RunFolder
from fedvlm_flwr.tasks import load_task, task_names


def write(folder: RunFolder, number: int, task: str, **values: float) -> None:
    write_of("server", folder, number, task, **values)


def write_of(where: str, folder: RunFolder, number: int, task: str, **values: float) -> None:
    place = {"round": number, "where": where, "task": task}
    folder.append(
        METRICS, *({**place, "metric": name, "value": value} for name, value in values.items())
    )


HEADING = ["round", "loss", "seconds", "down", "up"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Two rounds of two tasks; the middle one is scored on a sample."""
    result = RunFolder(tmp_path)
    write(result, 0, "vqa", accuracy=0.25, full=1.0)
    write(result, 0, "detection", iou=0.1, accuracy_iou50=0.0, full=1.0)
    write(result, 1, "train", loss=1.23456, seconds=12.34, bytes_down=1_500_000, bytes_up=900)
    write_of("client:0", result, 1, "train", loss=77.7, seconds=55.5)
    write(result, 1, "vqa", accuracy=0.5, full=0.0)
    write(result, 1, "detection", iou=0.2, full=0.0)
    write(result, 2, "train", loss=0.5, seconds=9.96, bytes_down=1_500_000, bytes_up=900)
    write(result, 2, "vqa", accuracy=0.7512, full=1.0)
    write(result, 2, "detection", iou=0.3, full=1.0)
    write(result, 2, "vqa", control_majority_accuracy=0.125, control_shuffled_accuracy=0.375)
    write(result, 2, "detection", control_majority_iou=0.0625)
    return result


def heading_and_rows(folder: RunFolder) -> tuple[list[str], list[list[str]]]:
    """Words of the heading, in whatever lines it takes, and those of each row below the rule."""
    lines = [line.split() for line in result_table(folder).splitlines()]
    rule = next(i for i, words in enumerate(lines) if words and set(words[0]) == {"─"})
    return [word for words in lines[:rule] for word in words], lines[rule + 1 :]


def test_shows_each_round_and_the_controls(folder: RunFolder) -> None:
    heading, (before, first, second, majority, shuffled) = heading_and_rows(folder)
    assert set(heading) == set(HEADING) | {"detection", "iou", "vqa", "accuracy"}
    assert before == ["before", "0.100", "0.250"]
    assert first == ["1", "1.2346", "12.3", "1.5", "MB", "900", "B", "~0.200", "~0.500"]
    assert second == ["2", "0.5000", "10.0", "1.5", "MB", "900", "B", "0.300", "0.751"]
    assert majority == ["majority", "answer", "0.062", "0.125"]
    assert shuffled == ["shuffled", "images", "0.375"]


def test_the_interval_and_the_clients_own_shares_stand_below_the_last_round(
    folder: RunFolder,
) -> None:
    more = {"local_clients": 3.0, "local_accuracy_mean": 0.6, "local_accuracy_worst": 0.4}
    write(folder, 0, "vqa", accuracy_low=0.01, accuracy_high=0.02, local_accuracy_mean=0.03)
    write(folder, 2, "vqa", accuracy_low=0.7, accuracy_high=0.8, local_accuracy_std=0.125, **more)
    write(folder, 2, "detection", iou_low=0.25, iou_high=0.35)
    _, rows = heading_and_rows(folder)
    assert rows[3:9] == [
        ["95", "%", "from", "0.250", "0.700"],
        ["95", "%", "to", "0.350", "0.800"],
        ["client", "mean", "0.600"],
        ["client", "worst", "0.400"],
        ["client", "deviation", "0.125"],
        ["majority", "answer", "0.062", "0.125"],
    ]
    interval, clients = result_table(folder).splitlines()[-2:]
    assert interval.startswith("95 %: bootstrap interval")
    assert clients.endswith("each on its own share of the test set; clients: vqa 3")


def test_a_run_without_them_has_neither_the_rows_nor_the_notes(folder: RunFolder) -> None:
    text = result_table(folder)
    assert "95 %" not in text and "client" not in text


def test_the_configuration_names_the_metric_that_is_shown(folder: RunFolder) -> None:
    write(folder, 2, "vqa", vqav2_accuracy=0.625)
    folder.write("config.yaml", "eval:\n  headlines: {vqa: vqav2_accuracy}\n")
    heading, rows = heading_and_rows(folder)
    assert set(heading) == set(HEADING) | {"detection", "iou", "vqa", "vqav2_accuracy"}
    assert rows[2][-2:] == ["0.300", "0.625"]


def test_that_clients_count_alike_stands_below(folder: RunFolder) -> None:
    assert "count alike" not in result_table(folder)
    line = {"round": 0, "where": "server", "task": "train", "metric": "weighting"}
    folder.append(METRICS, {**line, "value": "uniform"})
    last = result_table(folder).splitlines()[-1]
    assert last == "the clients count alike, however many examples each has"


def test_clients_numbers_stay_out(folder: RunFolder) -> None:
    text = result_table(folder)
    assert "77.7" not in text
    assert "55.5" not in text


def test_a_later_line_replaces_an_earlier_one(folder: RunFolder) -> None:
    write(folder, 2, "vqa", accuracy=0.9)
    assert heading_and_rows(folder)[1][2][-1] == "0.900"


def test_a_missing_control_is_no_row(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write(folder, 0, "vqa", accuracy=0.25, full=1.0)
    write(folder, 0, "vqa", control_majority_accuracy=0.5)
    text = result_table(folder)
    assert "majority" in text
    assert "shuffled" not in text


@pytest.mark.parametrize(
    "tasks",
    [["captioning", "classification", "detection", "vqa"], task_names()],
    ids=["as many as a dataset has", "all"],
)
def test_nothing_is_cut_off(tmp_path: Path, tasks: list[str]) -> None:
    headings = [max(map(len, (task, load_task(task).HEADLINE, "~0.988"))) for task in tasks]
    width = 56 + sum(3 + heading for heading in headings)  # 109 with the four
    folder = RunFolder(tmp_path)
    for task in tasks:
        name = load_task(task).HEADLINE
        write(folder, 1, task, full=0.0, **{name: 0.98765, f"{name}_low": 0.1})
    write(folder, 1, "train", loss=12.5, seconds=12345.6, bytes_down=1.5e9, bytes_up=999.9e6)
    text = result_table(folder)
    assert "…" not in text
    assert text.count("~0.988") == len(tasks)
    assert max(len(line) for line in text.splitlines()) <= width


def test_an_empty_run_is_an_empty_table(tmp_path: Path) -> None:
    assert heading_and_rows(RunFolder(tmp_path)) == (HEADING, [])


def test_clients_that_were_left_out_stand_below_with_their_reason(folder: RunFolder) -> None:
    reason = "its update has norm 1e+09"
    folder.append(
        METRICS,
        {"round": 2, "where": "client:3", "task": "train", "metric": "failure", "value": reason},
    )
    last = result_table(folder).splitlines()[-1]
    assert last == f"left out: round 2, client 3: {reason}"


def test_where_clients_have_models_of_their_own_their_mean_is_shown(tmp_path: Path) -> None:
    result = RunFolder(tmp_path)
    write_of("clients", result, 0, "vqa", accuracy=0.25, full=1.0)
    write_of("client:0", result, 0, "vqa", accuracy=0.99, full=1.0)
    text = result_table(result)
    assert "0.250" in text and "0.990" not in text
