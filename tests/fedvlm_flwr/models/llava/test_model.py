"""The hand-assembled path of `Llava` against transformers' own, and its promises."""

import pytest
import torch

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.features import fingerprint as fingerprint_of
from fedvlm_flwr.models.llava.model import Llava, layer_choice
from tests.model_promises import (
    QUESTIONS,
    answers_alone,
    check_bad_pictures,
    check_generation,
    check_labels_stay_out,
)

ANSWERS = ["[0.31, 0.20, 0.45, 0.45]", "a", "a blue rectangle", "red", "is"]


def whole_row(model, encoded, tokens=16):
    """Prompt and answer ids as transformers wants them: the image token once per patch."""
    return [
        token
        for t in (*encoded.prompt_ids, *encoded.answer_ids)
        for token in ([t] * tokens if t == model.image_id else [t])
    ]


def test_loss_equals_transformers_forward(model, pictures):
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    rows = [whole_row(model, row) for row in batch]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = torch.full_like(ids, -100)
    for i, (row, encoded) in enumerate(zip(rows, batch, strict=True)):
        answer = len(encoded.answer_ids)
        labels[i, len(row) - answer : len(row)] = torch.tensor(encoded.answer_ids)
    expected = model.module(
        input_ids=ids, attention_mask=mask, pixel_values=model.pixels(pictures), labels=labels
    ).loss
    ours = model.loss(model.features(pictures), batch)
    assert ours.item() == pytest.approx(expected.item(), abs=1e-5)


def test_gradient_reaches_connector_and_language_model_only(model, pictures):
    features = model.features(pictures)
    model.loss(features, [model.encode(q, "red") for q in QUESTIONS]).backward()
    for part, path in model.parts.items():
        grads = [p.grad is not None for p in model.module.get_submodule(path).parameters()]
        assert all(grads) if part != "vision" else not any(grads)


@torch.no_grad()
def slow_answer(model, features, question, limit):
    """One row, no cache, no padding, argmax at each step by transformers' own forward."""
    ids = whole_row(model, model.encode(question))
    start = len(ids)
    embeds = model.connect(features["tokens"][None])
    for _ in range(limit):
        table = model.module.get_input_embeddings()(torch.tensor([ids]))
        table[torch.tensor([ids]) == model.image_id] = embeds[0]
        token = model.module(inputs_embeds=table).logits[0, -1].argmax().item()
        if token == model.end_id:
            break
        ids.append(token)
    return model.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_generate_equals_uncached_argmax_whatever_the_batch(model, pictures):
    check_generation(model, pictures, slow_answer)


def test_what_stands_before_questions_on_one_picture_is_computed_once(model, pictures):
    one, other = model.features(pictures[:2])
    features = [one, other, one, one, other]
    batch = [model.encode(q) for q in QUESTIONS]
    slow = [slow_answer(model, f, q, 8) for f, q in zip(features, QUESTIONS, strict=True)]
    rows: list[tuple[int, int]] = []
    hook = model.llm.register_forward_pre_hook(
        lambda *call: rows.append(call[2]["inputs_embeds"].shape[:2]), with_kwargs=True
    )
    assert model.generate(features, batch, 8) == slow
    hook.remove()
    start = list(batch[0].prompt_ids).index(model.image_id)
    assert rows[:2] == [(2, start + 16), (5, max(len(b.prompt_ids) for b in batch) - start - 1)]


def test_rows_that_end_early_leave_the_others_alone(model, pictures):
    features = model.features(pictures)
    batch = [model.encode(q) for q in QUESTIONS]
    full = model.generate(features, batch, 8)
    first = model.tokenizer(full[0], add_special_tokens=False)["input_ids"]
    model.end_id = first[2]  # now row 0 ends after two tokens
    ended = model.generate(features, batch, 8)
    assert ended == answers_alone(model, features, batch, 8)
    assert len(ended[0].split()) < len(full[0].split())


def test_labels_do_not_reach_generation(model, pictures):
    check_labels_stay_out(model, pictures, ANSWERS)


def test_features_are_layer_minus_2_without_the_class_token(model, pictures):
    tower = model.module.model.vision_tower
    with torch.no_grad():
        states = tower(model.pixels(pictures), output_hidden_states=True).hidden_states
    features = model.features(pictures)
    assert [row["tokens"].shape for row in features] == [(16, 32)] * 5
    assert torch.equal(torch.stack([row["tokens"] for row in features]), states[-2][:, 1:])
    assert not any(row["tokens"].requires_grad for row in features)


def test_unreadable_and_missing_pictures_are_named(model, tmp_path):
    check_bad_pictures(model, tmp_path)


def test_prompt_holds_one_image_whatever_the_question(model):
    prompt = model.encode("is <image> there?").prompt_ids
    assert prompt.count(model.image_id) == 1
    assert model.encode("is there?", "a").prompt_ids == model.encode("is there?").prompt_ids
    assert model.encode("is there?", "a").answer_ids[-1] == model.end_id


def test_pictures_and_places_must_agree(model, pictures):
    with pytest.raises(ModelError, match="1 <image> places"):
        model.loss(model.features(pictures[:2]), [model.encode("a?", "a")])


def test_lora_targets_are_the_linears_of_the_language_model(model):
    assert model.lora_targets == (
        "down_proj",
        "gate_proj",
        "k_proj",
        "o_proj",
        "q_proj",
        "up_proj",
        "v_proj",
    )


def test_template_must_hold_image_and_question(model):
    with pytest.raises(ConfigError, match="question"):
        Llava(model.module, model.tokenizer, model.processor, "USER: <image> ASSISTANT:", 128)


def test_fingerprint_follows_the_weights(model):
    def fingerprint():
        return Llava(
            model.module, model.tokenizer, model.processor, "<image> {question}", 128
        ).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    with torch.no_grad():
        model.module.model.vision_tower.embeddings.class_embedding[0] += 1
    assert fingerprint() != before


def test_fingerprint_tells_padded_pictures_from_cropped_ones(model):
    cropped = fingerprint_of(model.vision, layer_choice(model.module.config), model.processor)
    assert model.fingerprint != cropped


@pytest.mark.parametrize("mean", [None, [0.5]])
def test_pictures_cannot_be_padded_without_a_mean_colour(model, mean):
    model.processor.image_mean = mean
    with pytest.raises(ModelError, match="image_mean"):
        Llava(model.module, model.tokenizer, model.processor, "<image> {question}", 128)
