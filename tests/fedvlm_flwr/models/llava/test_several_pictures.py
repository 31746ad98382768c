"""A LLaVA shown several pictures, or none."""

import pytest
import torch

from fedvlm_flwr.config import Stage
from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.models.parts import set_trainable
from fedvlm_flwr.models.prompts import PlacedTemplate, PromptEncoder
from fedvlm_flwr.models.vlm import ANY_PICTURES

TWO = f"describe\n{PLACE}\na red\n{PLACE}\nshape?"


def ids_of(model, text):
    """A prompt's ids with each place as often as a picture has tokens."""
    count = model.module.config.image_seq_length
    ids = model.tokenizer(text)["input_ids"]
    return [t for token in ids for t in [token] * (count if token == model.image_id else 1)]


@torch.no_grad()
def plain_loss(model, text, answer_ids, pictures):
    """Transformers' own loss of a whole prompt and its answer."""
    ids = torch.tensor([[*ids_of(model, text), *answer_ids]])
    labels = ids.clone()
    labels[:, : -len(answer_ids)] = -100
    pixels = {"pixel_values": model.pixels(pictures)} if pictures else {}
    return model.module(input_ids=ids, labels=labels, **pixels).loss.item()


def test_losses_are_those_of_plain_transformers(model, pictures):
    assert model.pictures == ANY_PICTURES
    around = "look. USER: {} ASSISTANT:"
    two = model.encode(TWO, "a blue rectangle", pictures=2)
    none = model.encode("is there a red shape?", "a blue rectangle", pictures=0)
    one = model.encode("describe the image.", "a blue rectangle")
    assert list(two.prompt_ids) == model.tokenizer(around.format(TWO))["input_ids"]
    losses = [
        plain_loss(model, around.format(TWO), two.answer_ids, pictures[:2]),
        plain_loss(model, around.format("is there a red shape?"), none.answer_ids, []),
        plain_loss(
            model, around.format(f"{PLACE}\ndescribe the image."), one.answer_ids, pictures[2:3]
        ),
    ]
    rows = model.features(pictures[:3])
    with torch.no_grad():
        alone = [model.loss(rows[:2], [two]), model.loss([], [none]), model.loss(rows[2:], [one])]
        assert [loss.item() for loss in alone] == pytest.approx(losses, abs=1e-5)
        together = model.loss(rows, [two, none, one]).item()
    assert together == pytest.approx(sum(losses) / 3, abs=1e-5)  # answers of one length


def test_both_pictures_reach_the_loss_and_their_order_counts(model, pictures):
    asked = model.encode(TWO, "a blue rectangle", pictures=2)
    rows = [
        {"tokens": row["tokens"].clone().requires_grad_()} for row in model.features(pictures[:2])
    ]
    loss = model.loss(rows, [asked])
    loss.backward()
    assert all(row["tokens"].grad.abs().sum() > 0 for row in rows)
    with torch.no_grad():
        assert model.loss(rows[::-1], [asked]).item() != pytest.approx(loss.item(), abs=1e-6)


def test_answers_together_are_those_alone(model, pictures):
    rows = model.features(pictures[:3])
    batch = [
        model.encode("is there a red shape?", pictures=0),
        model.encode(TWO, pictures=2),
        model.encode("describe the image."),
    ]
    alone = [
        model.generate(own, [asked], 6)[0]
        for own, asked in zip(([], rows[:2], rows[2:]), batch, strict=True)
    ]
    assert model.generate(rows, batch, 6) == alone
    assert len(set(alone)) > 1


def test_a_batch_of_text_alone_reaches_adapters_and_no_connector(model):
    set_trainable(model, Stage({"connector": "full"}))
    asked = model.encode("is there a red shape?", "a blue rectangle", pictures=0)
    assert not model.loss([], [asked]).requires_grad
    set_trainable(model, Stage({"connector": "full", "llm": "full"}))
    assert model.loss([], [asked]).requires_grad


def test_pictures_stay_where_turns_and_words_go(model):
    wording = PlacedTemplate("look. USER: {question} ASSISTANT:", "</s>USER: {question} ASSISTANT:")
    history = ((f"describe\n{PLACE}\nthe image.", "a blue rectangle"),)
    question = f"is there\n{PLACE}\na red shape?"

    def fitted(most):
        encoder = PromptEncoder(model.tokenizer, model.end_id, most, (PLACE,))
        row = encoder.encode(wording, question, "a red shape", history, pictures=2)
        assert row.prompt_ids.count(model.image_id) == row.pictures == 2
        return model.tokenizer.decode(row.prompt_ids), encoder.cut

    whole, cut = fitted(99)
    assert cut == 0
    assert "blue rectangle" in whole
    length = len(model.tokenizer(f"look. USER: {PLACE}\n{question} ASSISTANT:")["input_ids"]) + 4
    shorter, cut = fitted(length)
    assert cut == 1
    assert "rectangle" not in shorter
    assert "is there" in shorter
    shortest, _ = fitted(length - 3)
    assert "there" not in shortest
    assert "shape?" in shortest.replace(" ?", "?")


def test_a_place_in_a_text_of_one_picture_or_none_is_text(model):
    for pictures in (0, 1):
        asked = model.encode(f"is {PLACE} red?", pictures=pictures)
        assert asked.prompt_ids.count(model.image_id) == pictures
