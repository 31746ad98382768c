"""A round of training on records of two pictures, of one and of none, through the whole app."""

import json
import math
from pathlib import Path

import pytest

from fedvlm_flwr.run_folder import METRICS, PREDICTIONS
from tests import forms

QUESTION = "which side is marked?"
SHORT = (
    "dataset=folder",
    "dataset.task=vqa",
    "dataset.allow_unknown_words=true",
    "num_clients=2",
    "num_rounds=1",
    "train.local_steps=6",  # each of a client's records once
    "train.batch_size=1",
    "train.lr=1e-2",
    "eval.max_new_tokens=2",
)


def dataset(root: Path, pair: list[int]) -> str:
    """Twelve training records and six test records: a third of two pictures, a third of none."""
    forms.pictures(root)
    for split in ("train", "test"):
        rows = forms.flat(*range(12 if split == "train" else 6))
        for i, row in enumerate(rows):
            own = [[forms.NAMES[i] for i in pair], None, [row["image"]]][i % 3]
            row |= {"image": own, "client": i % 2, "question": QUESTION}
        forms.lines(root / f"{split}.jsonl", rows)
    return f"dataset.root={root}"


def first_loss(folder) -> float:
    """The mean over the clients' steps of the round."""
    (loss,) = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["where"], line["metric"]) == ("server", "loss")
    ]
    return loss


@pytest.mark.parametrize("family", [None, "smolvlm"])
def test_a_round_of_two_pictures_of_one_and_of_none(start, hf_checkpoint, tmp_path, family):
    """Of text alone a connector learns nothing, and nothing else is trained here."""
    model = ["tuning=f_c", "dataset.shared_pictures=allow"]
    if family is not None:
        model += [
            "model=hf_vlm",
            f"model.checkpoint={hf_checkpoint(family)}",
            "model.dtype=float32",
        ]
    losses = {}
    for pair in ([0, 11], [11, 0])[: 1 if family else 2]:  # which costs seconds
        words = dataset(tmp_path / "-".join(map(str, pair)), pair)
        folder = start(*SHORT, words, *model)
        losses[tuple(pair)] = first_loss(folder)
    assert all(map(math.isfinite, losses.values()))
    assert len(set(losses.values())) == len(losses), "the pictures' order counts"
    text = (folder.path / PREDICTIONS).read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in text]
    assert sorted(set(asked)) == [
        "<image>\n<image>\nwhich side is marked?",
        "which side is marked?",
    ]
    assert any(line["metric"].startswith("control_shuffled_") for line in folder.lines(METRICS))
