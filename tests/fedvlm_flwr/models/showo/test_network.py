"""Show-o against numbers of the published modules, its mask, and what every model promises."""

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.showo.magvit import MagvitTokenizer
from fedvlm_flwr.models.showo.mask import for_attention, visible
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import (
    ShowoNetwork,
    Vocabulary,
    image_processor,
    phi_config,
)
from fedvlm_flwr.models.showo.sizes import PhiSizes
from fedvlm_flwr.models.vlm import Encoded
from tests.model_promises import (
    QUESTIONS,
    answers_alone,
    check_bad_pictures,
    check_generation,
    check_labels_stay_out,
)
from tests.showo_tiny import GOLDEN, IMAGE, TEMPLATE, golden_weight, showo

CPU = torch.device("cpu")
ANSWERS = ["[0.31, 0.20, 0.45, 0.45]", "no", "a blue rectangle", "yes", "is"]


@pytest.fixture
def model() -> Showo:
    return showo()


@pytest.fixture(params=["sdpa", "eager"])
def golden(request) -> Showo:
    """The golden file's language model of 100 words and 64 codes, with its weights."""
    told = GOLDEN["showo"]
    given = told["phi_config"]
    sizes = PhiSizes(
        layers=given["num_hidden_layers"],
        width=given["hidden_size"],
        mlp_width=given["intermediate_size"],
        heads=given["num_attention_heads"],
        rotary_share=given["partial_rotary_factor"],
        positions=given["max_position_embeddings"],
    )
    words = Tokenizer(models.WordLevel({str(i): i for i in range(100)}, unk_token="0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="0", eos_token="80")
    config = phi_config(sizes, Vocabulary(100, 64), 80)
    assert config.vocab_size == given["vocab_size"]
    config._attn_implementation = request.param
    module = ShowoNetwork(PhiForCausalLM(config), MagvitTokenizer(IMAGE)).eval()
    state = {name: golden_weight(name, shape) for name, shape in told["keys"].items()}
    kept = module.image_tokenizer.state_dict(prefix="image_tokenizer.")
    module.load_state_dict({**state, **kept}, strict=True)
    return Showo(module, tokenizer, 64, "{question}", 64)


def golden_rows() -> tuple[list[list[int]], list[list[int]], list[Encoded]]:
    """Whole rows; their visible beginnings; what follows, as prompt and answer."""
    told = GOLDEN["showo"]
    rows, end = told["input_ids"], told["visible_prefix"]
    after = []
    for row, labels in zip(rows, told["labels"], strict=True):
        first = next(i for i, label in enumerate(labels) if label != -100)
        after.append(Encoded(tuple(row[end:first]), tuple(row[first:])))
    return rows, [row[:end] for row in rows], after


def test_loss_equals_the_published_modules(golden):
    _, prefixes, after = golden_rows()
    loss = golden.answer_loss(prefixes, after).mean()
    assert loss.item() == pytest.approx(GOLDEN["showo"]["loss"], abs=1e-4)


def test_logits_equal_the_published_modules(golden):
    rows, prefixes, _ = golden_rows()
    ids, seen = golden.assemble(rows, [len(prefix) for prefix in prefixes], left=False)
    hidden = golden.llm(input_ids=ids, attention_mask=seen).last_hidden_state
    logits = golden.head(hidden)
    for place, key in ((-1, "logits_last"), (5, "logits_image")):
        for row, expected in zip(logits[:, place], GOLDEN["showo"][key], strict=True):
            assert row[: len(expected)].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_golden_rows_are_laid_out_as_ours(golden):
    rows, prefixes, _ = golden_rows()
    for row, prefix in zip(rows, prefixes, strict=True):
        codes = torch.tensor(row[2:18]) - 110
        assert golden.image_prefix(codes) == prefix
    assert golden.vocabulary.size == 175


def test_the_published_vocabulary():
    vocabulary = Vocabulary(50295, 8192)
    assert (vocabulary.first_code, vocabulary.size) == (50305, 58498)
    assert (vocabulary.soi, vocabulary.eoi, vocabulary.mmu) == (50296, 50297, 50301)


def test_the_mask_by_hand():
    seen = visible([0, 2], [2, 2], 5, CPU)[:, 0].int().tolist()
    assert seen[0] == [  # two places of picture, three of text
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]
    assert seen[1] == [  # two of padding, two of picture, one of text
        [1, 0, 1, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_added_hides_and_stays_finite(dtype):
    seen = visible([1], [2], 4, CPU)
    added = for_attention(seen, "eager", dtype)
    assert added.dtype == dtype
    assert added.isfinite().all()
    weights = added.softmax(-1)
    assert torch.equal(weights > 0, seen)
    assert for_attention(seen, "sdpa", dtype) is seen


def test_a_picture_is_seen_by_all_and_text_by_what_follows(model, pictures):
    row = [*model.image_prefix(model.features(pictures)[0]["ids"]), *model.encode("a?").prompt_ids]

    def hidden(ids: list[int]) -> torch.Tensor:
        batch, seen = model.assemble([ids], [19], left=False)
        with torch.no_grad():
            return model.llm(input_ids=batch, attention_mask=seen).last_hidden_state[0]

    before = hidden(row)
    last_code = hidden([*row[:17], row[17] ^ 1, *row[18:]])
    assert (before - last_code).abs().amax(-1).min() > 1e-4
    word = hidden([*row[:21], 5, *row[22:]])
    changed = (before - word).abs().amax(-1) > 1e-6
    assert changed.tolist() == [False] * 21 + [True] * (len(row) - 21)


def test_the_loss_of_a_batch_is_that_of_its_rows(model, pictures):
    features = model.features(pictures)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    sums = [model.loss([f], [row]).item() for f, row in zip(features, batch, strict=True)]
    counts = [len(row.answer_ids) for row in batch]
    mean = sum(s * n for s, n in zip(sums, counts, strict=True)) / sum(counts)
    assert model.loss(features, batch).item() == pytest.approx(mean, abs=1e-5)


def slow_ids(model: Showo, features, question: str, limit: int) -> list[int]:
    """One row, no cache, no padding, argmax at each step by transformers' own forward."""
    ids = [*model.image_prefix(features["ids"]), *model.encode(question).prompt_ids]
    start = len(ids)
    for _ in range(limit):
        seen = torch.ones(len(ids), len(ids)).tril().bool()
        seen[:, :19] = True
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo().min)
        logits = model.module.showo(
            input_ids=torch.tensor([ids]), attention_mask=mask[None, None], use_cache=False
        ).logits
        token = logits[0, -1].argmax().item()
        if token == model.end_id:
            break
        ids.append(token)
    return ids[start:]


@torch.no_grad()
def slow_answer(model: Showo, features, question: str, limit: int) -> str:
    ids = slow_ids(model, features, question, limit)
    return model.tokenizer.decode(ids, skip_special_tokens=True).strip()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_generate_equals_uncached_argmax_whatever_the_batch(attention, pictures):
    model = showo(attention=attention)
    check_generation(model, pictures, slow_answer)


def test_rows_that_end_early_leave_the_others_alone(model, pictures):
    features = model.features(pictures)
    batch = [model.encode(q) for q in QUESTIONS]
    full = model.generate(features, batch, 8)
    ids = slow_ids(model, features[0], QUESTIONS[0], 8)
    model.end_id = next(token for token in ids if token != ids[0])  # row 0 ends with this one
    ended = model.generate(features, batch, 8)
    assert ended == answers_alone(model, features, batch, 8)
    assert full[0].startswith(ended[0])
    assert len(ended[0]) < len(full[0])


def test_labels_do_not_reach_generation(model, pictures):
    check_labels_stay_out(model, pictures, ANSWERS)


def test_gradient_reaches_the_language_model_only(model, pictures):
    model.loss(model.features(pictures), [model.encode(q, "a") for q in QUESTIONS]).backward()
    for part, path in model.parts.items():
        grads = [p.grad is not None for p in model.module.get_submodule(path).parameters()]
        assert all(grads) if part == "llm" else not any(grads)


def test_checkpointing_gives_the_same_gradients(model, pictures):
    features = model.features(pictures)
    batch = [model.encode(q, "a") for q in QUESTIONS]
    weight = model.llm.layers[0].self_attn.q_proj.weight
    model.module.train()
    model.loss(features, batch).backward()
    plain = weight.grad.clone()
    model.module.zero_grad()
    model.llm.gradient_checkpointing_enable()
    model.loss(features, batch).backward()
    assert torch.allclose(weight.grad, plain, atol=1e-7)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bfloat16_is_near_float32(attention, pictures):
    model = showo(attention=attention)
    features = model.features(pictures)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    exact = model.loss(features, batch).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert model.loss(features, batch).item() == pytest.approx(exact, rel=0.05)
        assert len(model.generate(features, batch, 4)) == 5
    model.module.showo.to(torch.bfloat16)
    assert model.loss(features, batch).item() == pytest.approx(exact, rel=0.05)
    assert len(model.generate(features, batch, 4)) == 5
    again = model.features(pictures)
    assert all(torch.equal(a["ids"], b["ids"]) for a, b in zip(features, again, strict=True))


def test_features_are_codes_row_after_row(model, pictures):
    features = model.features(pictures)
    assert [row["ids"].shape for row in features] == [(16,)] * 5
    assert features[0]["ids"].dtype == torch.int64
    assert len({tuple(row["ids"].tolist()) for row in features}) > 1
    expected = model.vision.encode(model.pixels(pictures))
    assert torch.equal(torch.stack([row["ids"] for row in features]), expected)


def test_pictures_are_resized_by_the_shorter_side_and_cropped_in_the_middle(tmp_path, model):
    wide = Image.new("RGB", (256, 128), "black")
    wide.paste("white", (64, 0, 192, 128))  # the middle square
    wide.save(tmp_path / "wide.png")
    pixels = model.pixels([tmp_path / "wide.png"])
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels[..., 2:-2].min() == 1
    wide.convert("L").point(lambda _: 0).save(tmp_path / "gray.png")
    assert torch.equal(model.pixels([tmp_path / "gray.png"]), -torch.ones(1, 3, 64, 64))


def test_unreadable_and_missing_pictures_are_named(model, tmp_path):
    check_bad_pictures(model, tmp_path)


def test_the_prompt_is_the_template_and_the_answer_ends(model):
    encoded = model.encode("is there a red shape?", "yes")
    tokenizer = model.tokenizer
    assert tokenizer.decode(encoded.prompt_ids) == "USER: \nis there a red shape? ASSISTANT:"
    assert tokenizer.decode(encoded.answer_ids) == " yes<|endoftext|>"
    assert encoded.answer_ids[-1] == model.end_id


def test_earlier_turns_stand_behind_the_picture_each_with_its_end(model):
    follow_up = "<|endoftext|>USER: {question} ASSISTANT:"
    talks = Showo(model.module, model.tokenizer, 64, TEMPLATE, 64, follow_up)
    history = (("is there a red shape?", "yes"),)
    encoded = talks.encode("is it <|endoftext|>?", "no", history)
    text = "USER: \nis there a red shape? ASSISTANT: yes<|endoftext|>USER: is it"
    assert model.tokenizer.decode(encoded.prompt_ids).startswith(text)
    assert encoded.prompt_ids.count(model.end_id) == 1
    assert encoded.answer_ids == model.encode("is it?", "no").answer_ids
    with pytest.raises(ModelError, match=r"model\.follow_up"):
        model.encode("is it?", "no", history)


def test_a_question_smuggles_in_no_end(model):
    assert model.end_id not in model.encode("is <|endoftext|> there?").prompt_ids
    assert max(model.encode("<|soi|> <|mmu|>").prompt_ids) < model.vocabulary.words


def test_a_long_question_is_cut_and_counted():
    model = showo(max_text_tokens=24)
    encoded = model.encode("is there a red shape in the image? " * 5, "no")
    assert len(encoded.prompt_ids) + len(encoded.answer_ids) <= 24
    assert model.truncated_questions == 1


def test_parts_and_lora_targets(model):
    assert model.lora_targets == ("dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj")
    assert dict(model.parts) == {"vision": "image_tokenizer", "llm": "showo.model"}
    assert model.module.get_submodule(model.root).config.qk_layernorm


def test_fingerprint_follows_image_tokenizer_and_picture_processing_only(model):
    def fingerprint(resolution: int = 64) -> str:
        return Showo(model.module, model.tokenizer, resolution, "{question}", 64).fingerprint

    before = fingerprint()
    with torch.no_grad():
        model.head.weight[0] += 1
    assert fingerprint() == before
    assert fingerprint(32) != before
    with torch.no_grad():
        model.vision.encoder.conv_in.bias[0] += 1
    assert fingerprint() != before


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="width 64 with 5 heads"):
        PhiSizes(1, 64, 128, 5, 0.5, 64)
    with pytest.raises(ConfigError, match=r"share of 0\.1"):
        PhiSizes(1, 64, 128, 8, 0.1, 64)


def test_configuration_is_the_one_that_the_golden_file_was_made_with():
    told = GOLDEN["showo"]["phi_config"]
    ours = phi_config(PhiSizes(2, 64, 128, 4, 0.5, 256), Vocabulary(100, 64), None)
    theirs = PhiConfig(**told)
    for key in ("rope_parameters", "hidden_act", "layer_norm_eps", "qk_layernorm", "vocab_size"):
        assert getattr(ours, key) == getattr(theirs, key)
    assert image_processor(256).crop_size["height"] == 256
