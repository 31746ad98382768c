"""The search over an algorithm's settings."""

import json

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.cli import tune
from fedvlm_flwr.config import compose
from fedvlm_flwr.paths import conf_dir
from fedvlm_flwr.run_folder import METRICS, RunFolder

SHORT = ["num_clients=2", "num_rounds=2", "dataset.tasks=[vqa]", "eval.bootstrap=1"]


@pytest.mark.parametrize(
    "path", sorted((conf_dir() / "search").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_search_space_composes_with_its_algorithm(path):
    space = OmegaConf.to_container(OmegaConf.load(path))
    algorithm = [] if path.stem == "default" else [f"algorithm={path.stem}"]
    for key, values in space.items():
        for value in values:
            compose({"overrides": " ".join([*algorithm, f"{key}={value}"])})
    if algorithm:
        assert any(key.startswith("algorithm.") for key in space)


def test_it_ends_with_the_best_on_validation_records_and_goes_on(small, tmp_path, capsys):
    words = [*small, *SHORT, "algorithm=fedprox", "--trials", "2", "--out", str(tmp_path)]
    assert tune.main(words) == 0
    facts = json.loads((tmp_path / "tune.json").read_text())
    (last,) = {each["rung"] for each in facts["trials"]}
    assert [each["score"] for each in facts["trials"]] == sorted(
        (each["score"] for each in facts["trials"]), reverse=True
    )
    assert facts["best"] == facts["trials"][0]["setting"]
    assert set(facts["best"]) == {"algorithm.mu", "train.lr"}
    text = capsys.readouterr().out
    assert "best: fedvlm run" in text and f"rung {last}: 2 rounds" in text
    settings = OmegaConf.load(tmp_path / "best.yaml")
    assert {f"{a}.{b}": settings[a][b] for a in settings for b in settings[a]} == facts["best"]
    head = (tmp_path / "best.yaml").read_text().partition("algorithm:")[0]
    assert "# Best of 2 settings by 2 rounds" in head and str(tmp_path) not in head
    folders = sorted(tmp_path.glob("rung*/*"))
    config = [RunFolder(folder).settings() for folder in folders]
    assert {each["eval.split"] for each in config} == {"validation"}
    before = [(folder / METRICS).stat().st_mtime_ns for folder in folders]
    assert tune.main(words) == 0
    assert [(folder / METRICS).stat().st_mtime_ns for folder in folders] == before


def test_a_metric_with_a_longer_scale_counts_no_more_than_another():
    better_captions, better_answers = (("train.lr", 0.1),), (("train.lr", 0.2),)
    scores = tune.relative(
        {
            better_captions: {"captioning": 7.0, "vqa": 0.4, "detection": 0.0},
            better_answers: {"captioning": 6.3, "vqa": 0.8, "detection": 0.0},
        }
    )
    assert scores[better_captions] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores[better_answers] == pytest.approx((0.9 + 1 + 0) / 3)


def test_a_search_without_a_trial_is_refused(small):
    with pytest.raises(Exception, match="must be 1 at least"):
        tune.main([*small, "--trials", "0"])
