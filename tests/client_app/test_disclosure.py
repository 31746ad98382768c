"""What a site tells of its records' words and classes: counts, none of a few records, no word."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from client_app.disclosure import SiteVocabulary, site_vocabulary
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.labels import require_labels
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import DataError, VocabularyError
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.process import this_process
from server_app.shortfalls import of_a_site
from tests.layout import picture

RECORDS = 20


@pytest.fixture
def configured(small, tmp_path: Path):
    """Composes a run on a folder of classification records with the given answers."""

    def make(answers: list[str], *words: str):
        rows = []
        for i, answer in enumerate(answers):
            picture(tmp_path / f"{i}.png", (10 * i, i, 0), (32, 32))
            row = {"image": f"{i}.png", "question": "what is the shape?", "answer": answer}
            rows.append(json.dumps(row))
        (tmp_path / "train.jsonl").write_text("\n".join(rows))
        own = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.task=classification"]
        return compose({"overrides": shlex.join([*small, *own, *words])})

    return make


@pytest.fixture
def told(configured):
    """What a site with such answers tells."""

    def tell(answers: list[str], *words: str) -> SiteVocabulary:
        config = configured(answers, *words)
        model = this_process().model(config, torch.device("cpu"))
        return site_vocabulary(config, model.vlm, load_data(config.dataset))

    return tell


ALLOW = "dataset.allow_unknown_words=true"


def test_words_are_counted_and_those_of_few_records_are_not(told) -> None:
    every, four = ["a mass"] * RECORDS, ["a mass"] * 4 + ["a red"] * 16
    train = ("dataset.test_fraction=0.01",)  # one picture
    assert told(every, ALLOW, *train).unknown_words == (19, 0)
    assert told(every, ALLOW, *train).words == (38, 76)
    assert told(four, ALLOW, *train).unknown_words == (0, 0)
    assert told(four, ALLOW, "privacy.min_examples=3", *train).unknown_words[0] in (3, 4)


def test_a_model_without_words_for_a_fifth_of_the_answers_is_refused_at_the_site(told) -> None:
    with pytest.raises(VocabularyError, match=r"no token for 50% of .*dataset\.allow_unknown"):
        told(["a mass"] * RECORDS)
    assert told(["a red"] * 18 + ["a mass"] * 2).foreign_labels == 0


def test_the_server_warns_of_a_site_by_name_and_knows_no_word(configured) -> None:
    config = configured(["red"] * RECORDS)
    site = SiteReply(site="north", words=(100, 100), unknown_words=(12, 0))
    warning = of_a_site(config, site)
    assert (
        warning.startswith("The site 'north': ") and "12% of the words in the training" in warning
    )
    assert of_a_site(config, replace(site, unknown_words=(5, 5))) == ""
    assert of_a_site(config, SiteReply(site="older")) == ""


LABELS = "dataset.labels=[Benign, malignant]"


def test_classes_that_are_not_declared_are_counted_and_named_in_the_sites_own_log(
    told, flower_log
) -> None:
    spelled = ["benign"] * 10 + ["The finding is MALIGNANT."] * 10
    assert told(spelled, ALLOW, LABELS).foreign_labels == 0
    assert not flower_log
    assert told([*spelled[:14], *["cancer"] * 6], ALLOW, LABELS).foreign_labels == 6
    assert "6 records of a class that dataset.labels does not name ('cancer')" in flower_log[0]
    assert told([*spelled[:16], *["cancer"] * 4], ALLOW, LABELS).foreign_labels == 0
    assert "4 records" in flower_log[1], "the site itself knows of few, too"
    assert told([*spelled[:14], *["cancer"] * 6], ALLOW).foreign_labels == 0


def test_records_that_are_at_hand_are_refused_with_their_classes_names(configured) -> None:
    config = configured(["benign"] * 19 + ["cancer"], LABELS)
    with pytest.raises(DataError, match=r"has 1 records of a class .* \('cancer'\)"):
        require_labels(load_data(config.dataset), config.dataset.params)
