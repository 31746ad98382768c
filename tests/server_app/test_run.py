"""A small real run: what its folder holds and what must be true of it."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev

import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import LlavaForConditionalGeneration

from fedvlm_flwr.config import compose, from_hydra
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation.answers import generate_answers
from fedvlm_flwr.evaluation.controls import question_majority_scores, with_shuffled_images
from fedvlm_flwr.messages.wire import HEADER_BYTES
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.table import BESIDE, result_table
from fedvlm_flwr.run_folder import FIRST_PREDICTIONS, METRICS, PREDICTIONS, RunFolder
from fedvlm_flwr.tasks import load_task
from tests.conftest import global_test_set

ENDS, OVER_CLIENTS = ("_low", "", "_high"), ("mean", "worst", "std")
TASKS = {"captioning": "cider", "classification": "accuracy", "detection": "iou", "vqa": "accuracy"}


@pytest.fixture(scope="module")
def folder(start) -> RunFolder:
    return start()


@pytest.fixture(scope="module")
def values(folder) -> dict[tuple[int, str, str, str], float]:
    return {
        (line["round"], line["where"], line["task"], line["metric"]): line["value"]
        for line in folder.lines(METRICS)
    }


def numbers(folder: RunFolder) -> list[dict]:
    """The metrics without those that measure time."""
    return [line for line in folder.lines(METRICS) if line["metric"] != "seconds"]


def test_every_task_is_scored_before_and_after_each_round(values):
    for number in (0, 1, 2):
        for task, metric in TASKS.items():
            assert (number, "server", task, metric) in values


def test_the_controls_stand_beside_the_last_scores(values):
    for task, metric in TASKS.items():
        for control in ("majority", "question", "shuffled"):
            assert (2, "server", task, f"control_{control}_{metric}") in values


def test_every_client_reports_its_loss_steps_and_examples(values):
    for client in range(3):
        assert values[1, f"client:{client}", "train", "steps"] == 3
        assert values[1, f"client:{client}", "train", "examples_seen"] == 24
        assert values[1, f"client:{client}", "train", "num_examples"] > 80
        assert values[2, f"client:{client}", "train", "loss"] > 0


def test_the_round_loss_is_the_mean_weighted_by_examples(values):
    clients = [f"client:{client}" for client in range(3)]
    weights = [values[1, client, "train", "num_examples"] for client in clients]
    losses = [values[1, client, "train", "loss"] for client in clients]
    expected = sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)
    assert values[1, "server", "train", "loss"] == pytest.approx(expected)


def test_messages_weigh_the_trained_tensors_and_a_small_header(folder, values):
    arrays = load_file(folder.path / "checkpoints" / "stage_0_round_0002.safetensors")
    exact = sum(array.nbytes for array in arrays.values())
    for direction in ("bytes_down", "bytes_up"):
        each = values[1, "server", "train", direction] / 3
        assert exact < each <= exact + HEADER_BYTES * len(arrays) + 1024
    assert not any("embed" in name or "vision" in name for name in arrays)


def test_the_base_is_loaded_once_and_each_picture_encoded_at_most_once(folder, start):
    before = folder.cost()["processes"]
    again = start("seed=0").cost()["processes"]
    (server,) = [facts for name, facts in again.items() if name.startswith("server")]
    (client,) = [facts for name, facts in again.items() if name.startswith("client")]
    (server_before,) = [facts for name, facts in before.items() if name.startswith("server")]
    assert server["model_loads"] == client["model_loads"] == server_before["model_loads"]
    assert client["images_encoded"] <= 24 + 12


def test_cost_accounts_for_seconds_and_memory(folder):
    cost = folder.cost()
    seconds = cost["seconds"]
    assert 0 < seconds["local_training"] <= seconds["rounds"] <= seconds["wall"]
    assert 0 < seconds["evaluation"] <= seconds["wall"]
    assert all(facts["peak_memory_bytes"] > 1e8 for facts in cost["processes"].values())


def test_predictions_are_those_of_the_last_round_on_the_whole_test_set(folder):
    lines = list(folder.lines(PREDICTIONS))
    config = compose({"overrides": "dataset.test_pictures=12"})
    assert len(lines) == len(this_process().data(config).test)
    assert {line["round"] for line in lines} == {2}
    correct = [line["prediction"] == line["reference"] for line in lines if line["task"] == "vqa"]
    score = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["round"], line["task"], line["metric"]) == (2, "vqa", "accuracy")
    ]
    assert score == [pytest.approx(sum(correct) / len(correct))]


def test_the_answers_before_the_first_round_stay_beside_them(folder, values):
    before = list(folder.lines(FIRST_PREDICTIONS))
    assert {line["round"] for line in before} == {0}
    assert [line["id"] for line in before] == [line["id"] for line in folder.lines(PREDICTIONS)]
    correct = [line["prediction"] == line["reference"] for line in before if line["task"] == "vqa"]
    score = values[0, "server", "vqa", "accuracy"]
    assert score == pytest.approx(sum(correct) / len(correct))


def test_scores_on_the_whole_test_set_have_an_interval_around_them(values):
    for task, metric in TASKS.items():
        for number in (0, 2):
            low, score, high = (values[number, "server", task, metric + end] for end in ENDS)
            assert low <= score <= high
        assert (1, "server", task, f"{metric}_low") not in values  # a sample


def test_each_client_has_a_score_on_its_own_share_by_the_same_answers(folder, values):
    lines = list(folder.lines(PREDICTIONS))
    for task, metric in TASKS.items():
        told = [line for line in lines if line["task"] == task]
        answered, references = ([line[key] for line in told] for key in ("prediction", "reference"))
        each = load_task(task).each(answered, references)[metric]
        expected: dict[int, list[float]] = {}
        for line, value in zip(told, each, strict=True):
            expected.setdefault(line["client"], []).append(value)
        local = {k: values[2, f"client:{k}", task, f"local_{metric}"] for k in expected}
        assert local == {k: pytest.approx(fmean(known)) for k, known in expected.items()}
        over = {end: values[2, "server", task, f"local_{metric}_{end}"] for end in OVER_CLIENTS}
        known = list(local.values())
        assert list(over.values()) == pytest.approx([fmean(known), min(known), pstdev(known)])
        assert values[2, "server", task, "local_clients"] == len(expected)
        assert (1, "server", task, "local_clients") not in values  # a sample


def test_the_table_at_the_end_tells_intervals_and_shares(folder):
    text = result_table(folder)
    assert all(label in text for label in BESIDE)


def test_the_saved_configuration_is_the_one_that_ran(folder):
    saved = from_hydra(OmegaConf.load(folder.path / "config.yaml"))
    assert (saved.num_rounds, saved.num_clients, saved.train.local_steps) == (2, 3, 3)
    assert saved.engine.name == "inprocess"


def test_the_same_seed_gives_identical_metrics_and_another_seed_others(folder, start):
    assert numbers(start()) == numbers(folder)
    assert numbers(start("seed=1")) != numbers(folder)


def test_the_cohort_is_a_seeded_sample(start):
    folder = start("num_clients=4", "clients_per_round=2", "num_rounds=3", "eval.every=3")
    seen = {
        (line["round"], line["where"])
        for line in folder.lines(METRICS)
        if line["where"].startswith("client:") and line["metric"] == "loss"
    }
    cohorts = [{where for number, where in seen if number == r} for r in (1, 2, 3)]
    assert [len(cohort) for cohort in cohorts] == [2, 2, 2]
    assert len({frozenset(cohort) for cohort in cohorts}) > 1


def test_the_adapter_loads_in_plain_transformers_and_peft_and_answers_the_same(folder, small):
    config = compose({"overrides": " ".join(small)})
    base = prepared_model(config.model)
    plain = LlavaForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(plain, str(folder.path / "adapter")).eval()
    ours = this_process().model(config, torch.device("cpu")).vlm
    examples = global_test_set(config)["vqa"][:20]
    told = {line["id"]: line["prediction"] for line in folder.lines(PREDICTIONS)}
    for example in examples:
        prompt = ours.encode(example.question).prompt_ids
        image = plain.config.image_token_id
        ids = torch.tensor([[t for p in prompt for t in ([p] * 16 if p == image else [p])]])
        pixels = ours.pixels(example.images)
        with torch.inference_mode():
            made = tuned.generate(
                input_ids=ids, pixel_values=pixels, max_new_tokens=16, do_sample=False
            )
        text = ours.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).strip()
        assert text == told[example.id]


def test_no_answer_reaches_the_model_in_evaluation(small):
    config = compose({"overrides": " ".join(small)})
    model = this_process().model(config, torch.device("cpu"))
    examples = global_test_set(config)["vqa"][:10]
    lied = [replace(example, answer="nonsense") for example in examples]
    answers = generate_answers(model, examples, config.eval)
    assert answers == generate_answers(model, lied, config.eval)


def test_shuffled_images_leave_no_example_its_own(small):
    config = compose({"overrides": " ".join(small)})
    examples = global_test_set(config)["vqa"]
    shuffled = with_shuffled_images(examples, seed=3)
    assert all(a.images != b.images for a, b in zip(examples, shuffled, strict=True))
    assert [a.question for a in examples] == [b.question for b in shuffled]
    assert {a.images for a in examples} == {b.images for b in shuffled}


def test_a_reader_of_questions_alone_gives_each_its_most_frequent_answer():
    def example(question: str, answer: str, name: str = "x") -> Example:
        return Example(name, (Path(f"{name}.png"),), question, answer, "vqa")

    known = [("is it red?", "no"), ("is it red?", "no"), ("is it red?", "yes"), ("what?", "blue")]
    training = {"vqa": [example(question, answer) for question, answer in known]}
    asked = {"vqa": [example("is it red?", "no"), example("what?", "red"), example("new?", "no")]}
    scores = question_majority_scores(asked, training)  # no, blue, and "no" for the unknown one
    assert scores["vqa"]["accuracy"] == pytest.approx(2 / 3)


def test_the_scores_of_papers_stand_beside_the_task_s_own(folder, start):
    """Easy-VQA's answers are one word, so that the VQA evaluation counts as ours does."""
    papers = "eval.conventions=[vqav2,coco_caption]"
    run = start(papers, "dataset.headlines.vqa=vqav2_accuracy", "num_rounds=1")
    last = {
        (line["where"], line["task"], line["metric"]): line["value"]
        for line in run.lines(METRICS)
        if line["round"] == 1
    }
    ends = ("", "_low", "_high")
    for where, pattern in (
        *(("server", "{}" + end) for end in ends),
        *(
            ("server", f"control_{control}_{{}}")
            for control in ("majority", "question", "shuffled")
        ),
        *(("server", f"local_{{}}_{end}") for end in OVER_CLIENTS),
        ("client:0", "local_{}"),
    ):
        own, papers_own = (
            last[where, "vqa", pattern.format(name)] for name in ("accuracy", "vqav2_accuracy")
        )
        assert own == papers_own, (where, pattern)
    assert ("server", "captioning", "coco_caption_bleu_4") in last
    assert ("server", "captioning", "vqav2_accuracy") not in last
    assert "vqav2_accuracy" in result_table(run)
    names = {line["metric"] for line in folder.lines(METRICS)}  # a run that chose none
    assert not any("vqav2" in name or "coco" in name for name in names)


@pytest.mark.parametrize(("dtype", "part"), [("bfloat16", 0.5), ("int8", 0.26)])
def test_short_numbers_on_the_wire_shorten_messages_and_still_learn(folder, start, dtype, part):
    short = start(f"wire.dtype={dtype}")

    def sent(run: RunFolder, metric: str) -> list[float]:
        return [line["value"] for line in run.lines(METRICS) if line["metric"] == metric]

    assert sum(sent(short, "bytes_up")) < (part + 0.05) * sum(sent(folder, "bytes_up"))
    assert sent(short, "bytes_down")[-1] < (part + 0.05) * sent(folder, "bytes_down")[-1]
    losses = [
        [
            line["value"]
            for line in run.lines(METRICS)
            if line["where"] == "server" and line["metric"] == "loss"
        ]
        for run in (short, folder)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02) and losses[0][1] < losses[0][0]


def test_the_learning_curve_is_a_picture(folder: RunFolder):
    content = Path(folder.path / "learning_curve.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 5000


def test_progress_tells_rounds_and_evaluations(folder):
    events = [
        json.loads(line) for line in (folder.path / "progress.jsonl").read_text().splitlines()
    ]
    kinds = [event["event"] for event in events]
    assert kinds.count("round_end") == 2
    assert kinds.count("reply") == 6
    assert kinds[-1] == "end"


def test_a_server_that_runs_out_of_memory_says_what_to_change(start, monkeypatch):
    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")

    monkeypatch.setattr(Llava, "generate", full)
    with pytest.raises(RunError, match=r"out of memory in answering .*eval\.batch_size"):
        start()
