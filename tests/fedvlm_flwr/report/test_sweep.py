"""The report of a sweep, on run folders made by hand."""

import csv
import hashlib
import json
import re
from io import StringIO
from pathlib import Path

import pytest
import yaml

from fedvlm_flwr.cli import main
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.report.compare import as_csv, as_markdown, as_text, compare
from fedvlm_flwr.report.sweep import RunSummary, mean_and_sd, read_sweep, select_metrics
from fedvlm_flwr.sealed import sealed


def write_run(  # noqa: PLR0913  # a run's facts
    root: Path,
    name: str,
    score: float,
    *,
    algorithm: str = "fedavg",
    seed: int = 0,
    steps: int = 10,
    finished: bool = True,
    where: str = "server",
    more: tuple[dict, ...] = (),
    full: float = 1.0,
    **params: float,
) -> Path:
    """A finished run of two rounds on one task with two clients."""
    folder = root / name
    folder.mkdir(parents=True)
    config = {
        "algorithm": {"name": algorithm, "kind": algorithm, **params},
        "engine": {"name": name},
        "seed": seed,
        "run_name": name,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [line(0, where, "vqa", "accuracy", 0.25), line(0, where, "vqa", "full", 1.0)]
    for number in (1, 2):
        lines += [line(number, f"client:{k}", "train", "steps", steps) for k in (0, 1)]
    lines += [line(2, where, "vqa", "accuracy", score), line(2, where, "vqa", "full", full), *more]
    text = "".join(json.dumps(item) + "\n" for item in lines)
    (folder / "metrics.jsonl").write_text(text)
    metrics = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    facts = {"finished": finished, "callbacks": {"MetricsWriter": metrics}}
    (folder / "checkpoint.json").write_text(json.dumps(sealed(facts)))
    return folder


def line(number: int, where: str, task: str, metric: str, value: object) -> dict:
    return {"round": number, "where": where, "task": task, "metric": metric, "value": value}


@pytest.fixture
def two_by_two(tmp_path):
    write_run(tmp_path, "000", 0.5, seed=0)
    write_run(tmp_path, "001", 0.7, seed=1)
    write_run(tmp_path, "002", 0.9, algorithm="fedprox", seed=0, mu=0.1)
    write_run(tmp_path, "003", 0.8, algorithm="fedprox", seed=1, mu=0.1)
    return tmp_path


def test_mean_and_deviation_by_hand(two_by_two):
    # 0.5 and 0.7: mean 0.6, sd sqrt(0.02); 0.9 and 0.8: 0.85 and sqrt(0.005)
    text = as_text(compare(read_sweep(two_by_two)))
    assert re.search(r"before training +0\.250 ± 0\.000", text)
    assert re.search(r"fedavg +2 +40 +0\.600 ± 0\.141", text)
    assert re.search(r"fedprox +2 +40 +0\.850 ± 0\.071", text)
    assert "mu" not in text  # said by the name already
    assert mean_and_sd([1.0])[0] == 1.0


def test_a_parameter_in_which_runs_of_one_name_differ_is_a_key(two_by_two):
    write_run(two_by_two, "004", 0.4, algorithm="fedprox", seed=0, mu=0.5)
    found = compare(read_sweep(two_by_two))
    assert found.keys == ["algorithm.name", "algorithm.mu"]
    assert [len(runs) for runs in found.rows.values()] == [2, 2, 1]


def test_another_seed_that_is_the_runs_own_is_no_key(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, f"a{seed}", 0.5, seed=seed, first_seed=seed)
    assert [len(runs) for runs in compare(read_sweep(tmp_path)).rows.values()] == [2]
    write_run(
        tmp_path, "b", 0.5, seed=0, first_seed=1
    )  # another start, and not for the seed's sake
    found = compare(read_sweep(tmp_path))
    assert found.keys == ["algorithm.first_seed"]
    assert [len(runs) for runs in found.rows.values()] == [1, 2]


def test_unequal_budgets_are_told_first(two_by_two):
    write_run(two_by_two, "004", 0.4, algorithm="fednova", steps=5)
    for render in (as_text, as_markdown):
        text = render(compare(read_sweep(two_by_two)))
        assert text.lstrip("*").startswith("unequal budgets: ")
        assert "40 steps: fedavg, fedprox; 20 steps: fednova" in text
        assert "40 !" in text and "20 !" in text


def test_equal_budgets_need_no_word(two_by_two):
    assert "unequal" not in as_text(compare(read_sweep(two_by_two)))


def test_unfinished_runs_are_left_out_and_named(two_by_two):
    write_run(two_by_two, "004", 0.0, seed=2, finished=False)
    text = as_text(compare(read_sweep(two_by_two)))
    assert re.search(r"fedavg +2 ", text)
    assert "left out (not finished): 004" in text


def test_failures_are_counted(two_by_two):
    reason = line(2, "client:1", "train", "failure", "it holds NaN")
    write_run(two_by_two, "004", 0.6, seed=2, more=(reason,))
    text = as_text(compare(read_sweep(two_by_two)))
    assert "fedavg: 1 client replies were left out in 1 run(s)" in text


def test_what_rows_optimize_is_told_where_they_differ(two_by_two):
    assert "count" not in as_text(compare(read_sweep(two_by_two)))
    alike = (line(0, "server", "train", "weighting", "uniform"),)
    write_run(two_by_two, "004", 0.4, algorithm="krum", more=alike)
    text = as_text(compare(read_sweep(two_by_two)))
    assert "clients count alike in: krum; in the others by their examples" in text
    only = two_by_two / "only"
    write_run(only, "005", 0.4, algorithm="krum", more=alike)
    assert "clients count alike in: the run" in as_text(compare(read_sweep(only))).splitlines()


def test_models_of_the_clients_own_are_shown_by_their_mean_and_range(two_by_two):
    own = tuple(line(2, f"client:{k}", "vqa", "accuracy", v) for k, v in enumerate((0.2, 0.6)))
    write_run(two_by_two, "004", 0.4, algorithm="local", where="clients", more=own)
    text = as_text(compare(read_sweep(two_by_two)))
    assert re.search(r"local +1 +40 +0\.400$", text, re.M)
    assert "local: per client vqa accuracy 0.200 (client 0, seed 0) to 0.600" in text


def test_a_sampled_score_is_marked(two_by_two):
    write_run(two_by_two, "004", 0.4, algorithm="scaffold", full=0.0)
    text = as_text(compare(read_sweep(two_by_two)))
    assert "~0.400" in text and "~ score on a sample" in text


def test_csv_reads_back(two_by_two):
    rows = list(csv.DictReader(StringIO(as_csv(compare(read_sweep(two_by_two))))))
    assert [row["algorithm"] for row in rows] == ["before training", "fedavg", "fedprox"]
    assert float(rows[1]["vqa.accuracy.mean"]) == pytest.approx(0.6)
    assert float(rows[1]["vqa.accuracy.sd"]) == pytest.approx(0.02**0.5)
    assert rows[2]["n"] == "2"


def test_markdown_has_equal_columns(two_by_two):
    table = [x for x in as_markdown(compare(read_sweep(two_by_two))).splitlines() if x[:1] == "|"]
    assert len({row.count("|") for row in table}) == 1
    assert len(table) == 5


def test_a_single_run_is_a_table_too(tmp_path):
    folder = write_run(tmp_path, "only", 0.5)
    assert re.search(r"only +1 +40 +0\.500", as_text(compare(read_sweep(folder))))


def test_a_row_of_several_seeds_has_no_run_s_name(tmp_path):
    write_run(tmp_path, "000-seed=0", 0.5, seed=0)
    write_run(tmp_path, "001-seed=1", 0.7, seed=1)
    comparison = compare(read_sweep(tmp_path))
    assert re.search(r"fedavg +2 +40 +0\.600 ± 0\.141", as_text(comparison))
    assert "\nfedavg,2,40," in as_csv(comparison)


def test_other_metrics(two_by_two):
    with pytest.raises(ConfigError, match=r"Unknown metric 'vqa\.f1'; choose one of: vqa\.acc"):
        compare(read_sweep(two_by_two), ["vqa.f1"])
    assert compare(read_sweep(two_by_two), ["vqa.accuracy"]).metrics == [("vqa", "accuracy")]


def test_what_cannot_be_reported_is_refused(tmp_path, two_by_two):
    with pytest.raises(RunError, match="is no folder"):
        read_sweep(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no finished run"):
        read_sweep(tmp_path / "empty")
    with (two_by_two / "001" / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "whe\n')
    with pytest.raises(RunError, match=r"001/metrics\.jsonl, line 9 is damaged"):
        read_sweep(two_by_two)


def test_the_command(two_by_two, capsys, tmp_path):
    assert main(["report", str(two_by_two)]) == 0
    assert "fedprox" in capsys.readouterr().out
    page = two_by_two / "report" / "report.html"
    assert "fedprox" in page.read_text()
    page.unlink()
    assert main(["report", str(two_by_two), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("| algorithm | n | steps | vqa accuracy |")
    assert not page.exists()
    assert main(["report", str(two_by_two), "--out", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "report.html").exists() and not page.exists()
    assert main(["report", str(two_by_two), "--format", "csv", "--out", str(tmp_path)]) == 1
    (tmp_path / "file").touch()
    assert main(["report", str(two_by_two), "--out", str(tmp_path / "file")]) == 1
    assert main(["report", str(tmp_path / "nowhere")]) == 1
    assert main(["report"]) == 2
    assert main(["report", str(two_by_two), "--format", "pdf"]) == 2


def test_a_score_that_is_no_number_is_shown_as_one(two_by_two):
    write_run(two_by_two, "004", float("nan"), seed=2)
    assert re.search(r"fedavg +3 +40 +nan", as_text(compare(read_sweep(two_by_two))))


def test_damage_is_named_by_its_file(two_by_two):
    for name, damage, told in (
        ("config.yaml", lambda _: b"a: [", "config.yaml is damaged"),
        ("config.yaml", lambda _: b"", "config.yaml is damaged"),
        ("config.yaml", lambda text: text + b"\xff", "config.yaml is damaged"),
        ("config.yaml", lambda text: bytes(len(text)), "config.yaml is damaged"),
        ("checkpoint.json", lambda _: b"{}", "checkpoint.json is damaged"),
        ("checkpoint.json", lambda text: text[:-9], "checkpoint.json is damaged"),
        ("checkpoint.json", lambda text: text.replace(b"true", b"1"), "its checksum differs"),
        ("metrics.jsonl", lambda _: b"", "metrics.jsonl is empty or missing"),
        ("metrics.jsonl", lambda text: text.replace(b"0.2", b"0.3", 1), "not what the run had"),
        ("metrics.jsonl", lambda text: text[:40] + bytes(9) + text[49:], "not what the run had"),
    ):
        path = two_by_two / "001" / name
        before = path.read_bytes()
        path.write_bytes(damage(before))
        with pytest.raises(RunError, match=re.escape(told)) as refusal:
            read_sweep(two_by_two)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
        path.write_bytes(before)
    (two_by_two / "001" / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"metrics\.jsonl is empty or missing"):
        read_sweep(two_by_two)


def test_the_line_a_killed_run_left_half_written_is_overlooked(two_by_two):
    with (two_by_two / "001" / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "whe')
    assert len(read_sweep(two_by_two).runs) == 4


def test_one_seed_twice_is_refused(two_by_two):
    write_run(two_by_two, "004", 0.5, seed=0)
    with pytest.raises(RunError, match="000 and 004 have the same configuration and seed"):
        compare(read_sweep(two_by_two))


def test_no_number_is_cut(two_by_two):
    for number in range(3):
        write_run(two_by_two, f"1{number}", 0.5, algorithm="x" * 90, seed=9, mu=number / 7)
    assert "…" not in as_text(compare(read_sweep(two_by_two)))


def test_the_metric_that_the_runs_configurations_name_is_shown() -> None:
    def run(**keys: str) -> RunSummary:
        last = {
            ("vqa", "accuracy"): 0.5,
            ("vqa", "vqav2_accuracy"): 0.75,
            ("detection", "iou"): 0.2,
        }
        return RunSummary("a", keys, 1, {}, last, {}, frozenset(), 0)

    named = run(**{"eval.headlines.vqa": "vqav2_accuracy"})
    assert select_metrics([named], []) == [("detection", "iou"), ("vqa", "vqav2_accuracy")]
    both = [("vqa", "accuracy"), ("vqa", "vqav2_accuracy")]  # of runs that name different ones
    assert select_metrics([run(), named], [])[1:] == both
