"""Scores by generation: the same in any batch, with boxes as the model sees them."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from client_app.disclosure import site_scores
from fedvlm_flwr.config import Config, compose
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.evaluation.answers import generate_answers, sample
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.images.frame import Frame, padded
from fedvlm_flwr.models import model_parts
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.models.vlm import VLM, Encoded, Features, History
from fedvlm_flwr.process import this_process
from tests.choices import SHIPPED


def composed(*overrides: str) -> Config:
    return compose({"overrides": shlex.join(overrides)})


@pytest.mark.parametrize("model", SHIPPED)
def test_answers_and_scores_do_not_depend_on_the_batch_size(small: list[str], model: str) -> None:
    words = [*small, f"model={model}", "dataset.test_pictures=4", "eval.max_new_tokens=8"]
    config = composed(*words)
    if "connector" not in model_parts(config.model):
        config = composed(*words, "tuning=f_l")
    held = this_process().model(config, torch.device("cpu"))
    data = this_process().data(config)
    found = []
    for size in (1, 3, 256):
        settings = replace(config.eval, batch_size=size)
        held.vlm.module.train()  # as local training leaves it
        scored = Evaluator(replace(config, eval=settings), held, this_process(), 1).run(full=True)
        assert not any(module.training for module in held.vlm.module.modules())
        found.append((scored.predictions, scored.scores, scored.shares))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) == len(data.test)
    assert len({line["prediction"] for line in found[0][0]}) > 1


class Parrot(VLM):
    """A model that pads pictures to a square, and says the question that it was asked."""

    def __init__(self) -> None:
        self.module = nn.Identity()
        self.parts, self.fingerprint, self.device = {}, "parrot", torch.device("cpu")
        self.heard: list[str] = []

    def frame(self, image: Path) -> Frame:
        with Image.open(image) as picture:
            return padded(picture.size)

    def features(self, images: Sequence[Path]) -> list[Features]:
        return [{"none": torch.zeros(1)} for _ in images]

    def encode(
        self, question: str, answer: str | None = None, history: History = (), **_: int
    ) -> Encoded:
        self.heard.append(question)
        return Encoded(tuple(question.encode()))

    def answer_length(self, answer: str) -> int:
        return len(answer) + 1

    def loss(self, features: Sequence[Features], batch: Sequence[Encoded]) -> Tensor:
        raise NotImplementedError

    def generate(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        return [bytes(one.prompt_ids).decode() for one in batch]


def test_boxes_go_to_the_model_as_it_sees_them_and_come_back_in_the_picture(
    tmp_path: Path, small: list[str]
) -> None:
    """Padding makes 40 x 20 pixels to 40 x 40: ten rows above, ten below.

    The box's rows 4 to 16 of 20 become 14 to 26 of 40, its columns stay.
    """
    path = tmp_path / "wide.png"
    Image.new("RGB", (40, 20)).save(path)
    own, seen = "what is in [0.20, 0.20, 0.40, 0.60]?", "what is in [0.20, 0.35, 0.40, 0.30]?"
    parrot = Parrot()
    model = Resident(parrot, [], FeatureCache(parrot, 1.0, False))
    tasks = ("detection", "captioning", "vqa")
    found = [Example(task, (path,), own, "[0.20, 0.20, 0.40, 0.60]", task) for task in tasks]
    told = generate_answers(model, found, composed(*small).eval)
    assert parrot.heard == [seen, seen, own]
    assert told == [own, seen, own]  # a caption's words are left alone, boxes among them


def test_a_sample_is_the_same_each_time_and_in_the_order_of_the_table(small: list[str]) -> None:
    settings = replace(composed(*small).eval, max_examples=3)
    rows = {"vqa": list(range(10, 90)), "detection": [1, 5]}
    drawn = sample(rows, settings, seed=0)
    assert drawn == sample(rows, settings, seed=0) != sample(rows, settings, seed=1)
    assert drawn["detection"] == [1, 5]
    assert len(drawn["vqa"]) == 3 and set(drawn["vqa"]) < set(rows["vqa"])
    assert list(drawn["vqa"]) == sorted(drawn["vqa"])
    assert sample(rows, replace(settings, max_examples=None), seed=0) == rows


def test_without_a_limit_an_answer_is_as_long_as_the_right_ones(small: list[str]) -> None:
    words = [*small, "dataset.test_pictures=4"]
    held = this_process().model(composed(*words), torch.device("cpu"))
    limits = []
    for limit in ("null", "2"):
        config = composed(*words, f"eval.max_new_tokens={limit}")
        evaluator = Evaluator(config, held, this_process(), 1)
        limits.append((evaluator.most_tokens, evaluator.longer))
    boxes = evaluator.full["detection"]
    longest = max(len(held.vlm.encode("?", one.answer).answer_ids) for one in boxes)
    assert limits[0] == (longest, 0)
    assert limits[1][0] == 2 and limits[1][1] > 0


def test_each_client_and_site_tells_the_share_of_answers_that_cannot_be_whole(
    small: list[str],
) -> None:
    """It was told of the server's own table only."""
    words = [*small, "dataset.test_pictures=8", "num_clients=2", "dataset.tasks=[vqa,captioning]"]
    held, process = this_process().model(composed(*words), torch.device("cpu")), this_process()
    none = Evaluator(composed(*words), held, process, 1).run(full=True)
    assert not any("unfinished" in name for name in none.scores["captioning"])
    config = composed(*words, "eval.max_new_tokens=3")
    evaluator = Evaluator(config, held, process, 1)
    result = evaluator.run(full=True)
    owned = process.test_shares(config)
    assert "unfinished" not in result.scores["vqa"]  # of one word
    captions = [one.answer for one in evaluator.full["captioning"]]
    long = [held.vlm.answer_length(text) > 3 for text in captions]
    assert 0 < sum(long) == evaluator.longer
    assert result.scores["captioning"]["unfinished"] == sum(long) / len(long)
    assert not any(name.startswith("unfinished_") for name in result.scores["captioning"])
    for client, rows in enumerate(owned):
        table = process.data(config).test.select(rows)
        own = [one.answer for one in examples(table, Path()) if one.task == "captioning"]
        share = sum(held.vlm.answer_length(text) > 3 for text in own) / len(own)
        assert result.shares[client]["captioning"]["local_unfinished"] == share
    site = composed(*words, "eval.max_new_tokens=3", "engine.sites={a: ., b: .}")
    told = site_scores(Evaluator(site, held, process, 1).run(full=False), least=5)
    assert told.scores["captioning"]["unfinished"] == sum(long) / len(long)
    assert told.scores["vqa"]["unfinished"] == 0
    few = site_scores(Evaluator(site, held, process, 1).run(full=False), least=10**6)
    assert few.scores == {}
