"""The kind `hf_vlm` against plain transformers, for a tiny checkpoint of every family."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.models.smolvlm import processing_smolvlm
from transformers.processing_utils import ProcessorMixin
from transformers.video_processing_utils import VideoProcessorMixin

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import Lora, Stage, compose
from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.errors import ConfigError, DataError, ModelError
from fedvlm_flwr.images.reading import open_image
from fedvlm_flwr.models import load_model, model_pictures, model_skeleton, prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.hf_vlm import families
from fedvlm_flwr.models.hf_vlm.model import HfVlm
from fedvlm_flwr.models.marks import specials
from fedvlm_flwr.models.parts import add_lora, read, set_trainable, train_in_float32
from fedvlm_flwr.models.vlm import ONE_PICTURE, Encoded
from tests import choices
from tests.hf_tiny import FAMILIES, KINDS
from tests.layout import rectangles
from tests.server_app import plain_peft

PARAMS = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}
SIZES = [(64, 64), (90, 40), (30, 70), (48, 33), (200, 20)]
QUESTIONS = ["is there a red circle?", "what color?", "where is the shape?", "describe it.", "no?"]
ANSWERS = ["yes", "a blue rectangle", "[0.31, 0.20, 0.45, 0.45]", "red", "no shape is there"]
LENGTH = 6
CPU = torch.device("cpu")
NEEDS_TORCHVISION = "transformers.models.pixtral.image_processing_pixtral"
PIXTRAL = partial(importlib.import_module, "transformers.models.pixtral.processing_pixtral")

Load = Callable[..., HfVlm]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of other colours and sides, some larger and some smaller than the network's."""
    return rectangles(tmp_path_factory.mktemp("pictures"), SIZES)


@pytest.fixture(scope="module")
def load(hf_checkpoint: Callable[[str], Path]) -> Load:
    """The model of a family's tiny checkpoint or of a folder, loaded anew."""

    def loaded(family: str | Path, **changed: object) -> HfVlm:
        folder = family if isinstance(family, Path) else hf_checkpoint(family)
        params = {**PARAMS, **changed, "checkpoint": str(folder)}
        model = load_model(choices.model("any", "hf_vlm", params), CPU)
        assert isinstance(model, HfVlm)
        return model

    return loaded


@pytest.fixture(scope="module")
def kept(load: Load) -> Callable[[str], HfVlm]:
    """The same, loaded once for all tests that leave it as it is."""
    models: dict[str, HfVlm] = {}

    def model(family: str) -> HfVlm:
        if family not in models:
            models[family] = load(family)
        return models[family]

    return model


class Plain:
    """Transformers alone: processor, chat template, `generate` and loss, one row at a time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Some want more for videos than is installed here; for pictures they do not use it.
        monkeypatch.setattr(processing_smolvlm, "num2words", str)
        monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda *_: None)
        # Pixtral's own asks for torchvision where it is imported, for a function both have.
        monkeypatch.setitem(sys.modules, NEEDS_TORCHVISION, image_processing_pil_pixtral)
        settings = json.loads((folder / "processor_config.json").read_text())
        name = settings.pop("processor_class")
        kind = getattr(PIXTRAL() if name == "PixtralProcessor" else transformers, name)
        pieces = {
            "tokenizer": AutoTokenizer.from_pretrained(folder),
            "image_processor": AutoImageProcessor.from_pretrained(folder, backend="pil"),
        }
        if "video_processor" in kind.get_attributes():
            pieces["video_processor"] = VideoProcessorMixin(num_frames=1, fps=1)
        if "feature_extractor" in kind.get_attributes():
            pieces["feature_extractor"] = None
        template = folder / "chat_template.jinja"
        self.template = template.read_text() if template.exists() else None
        self.processor = kind(**pieces, **settings, chat_template=self.template)
        self.tokenizer = self.processor.tokenizer
        self.network = AutoModelForImageTextToText.from_pretrained(folder).eval()

    def asked(self, path: Path, question: str) -> dict:
        """What the network gets for a question about a picture."""
        picture = Image.open(path).convert("RGB")
        if self.template is None:
            made = self.processor(text=f"<image>{question}", images=picture, return_tensors="pt")
            return {k: v for k, v in made.items() if k != "labels"}
        content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    def answered(self, path: Path, question: str, answer: str, end: str) -> tuple[dict, int]:
        """The same with the answer written behind the prompt, and how many tokens that is."""
        picture = Image.open(path).convert("RGB")
        if self.template is None:
            made = self.processor(
                text=f"<image>{question}", images=picture, suffix=answer, return_tensors="pt"
            )
            count = int((made.pop("labels") != -100).sum())
            return made, count
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        starts = prompt.startswith(str(self.tokenizer.bos_token))
        made = self.processor(
            text=[prompt + answer + end],
            images=[picture],
            return_tensors="pt",
            add_special_tokens=not starts,
        )
        count = made["input_ids"].shape[1] - self.asked(path, question)["input_ids"].shape[1]
        return made, count

    def generate(self, path: Path, question: str, stops: list[str]) -> list[int]:
        """The likeliest tokens, up to the first of `stops`."""
        given = self.asked(path, question)
        ends = self.tokenizer.convert_tokens_to_ids(stops)
        made = self.network.generate(
            **given,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=ends,
            max_new_tokens=LENGTH,
        )
        row = made[0, given["input_ids"].shape[1] :].tolist()
        return row[:-1] if row[-1] in ends else row


@pytest.fixture
def plain(hf_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    def read(family: str) -> Plain:
        return Plain(hf_checkpoint(family), monkeypatch)

    return read


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_and_generated_tokens_equal_plain_transformers(family, kept, plain, paths):
    model, reference = kept(family), plain(family)
    features = model.features(paths)
    batch = [model.encode(question) for question in QUESTIONS]
    kind = KINDS[family]()
    stops = [kind.end, *kind.stops]
    expected = []
    for row, encoded, path, question in zip(features, batch, paths, QUESTIONS, strict=True):
        plain_row = model.inputs.encode_image(open_image(path), torch.float32)
        given = model.inputs.batch([plain_row], [encoded], answers=False)
        assert set(model.family.pictures) <= set(given)
        assert all(torch.equal(row[name], plain_row[name]) for name in set(row) & set(plain_row))
        asked = reference.asked(path, question)
        assert given["input_ids"].tolist() == asked["input_ids"].tolist()
        for name in set(given) - {"input_ids"}:
            assert torch.equal(given[name], asked[name].to(given[name].dtype)), name
        expected.append(reference.generate(path, question, stops))
    assert model.answers(features, batch, LENGTH) == expected
    assert len({tuple(row) for row in expected}) == len(expected)
    texts = [reference.tokenizer.decode(row, skip_special_tokens=True) for row in expected]
    assert model.generate(features, batch, LENGTH) == [text.strip() for text in texts]


@pytest.mark.parametrize("family", FAMILIES)
def test_earlier_turns_are_written_as_transformers_writes_them(family, kept, plain, paths):
    model, reference = kept(family), plain(family)
    history = tuple(zip(QUESTIONS[:2], ANSWERS[:2], strict=True))
    if reference.template is None:
        with pytest.raises(ModelError, match=r"no form for the earlier turns.*turns=first"):
            model.encode(QUESTIONS[2], None, history)
        return
    texts = [text for pair in history for text in pair] + [QUESTIONS[2]]
    parts = [[{"type": "text", "text": text}] for text in texts]
    parts[0].insert(0, {"type": "image", "image": Image.open(paths[1]).convert("RGB")})
    roles = ("user", "assistant", "user", "assistant", "user")
    expected = reference.processor.apply_chat_template(
        [{"role": role, "content": own} for role, own in zip(roles, parts, strict=True)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    features = model.features(paths[1:2])
    asked = model.encode(QUESTIONS[2], ANSWERS[2], history)
    own = model.inputs.batch(features, [asked], answers=False)
    assert own["input_ids"].tolist() == expected["input_ids"].tolist()
    if model.family.types is not None:
        assert own[model.family.types].tolist() == expected[model.family.types].tolist()
    assert asked.answer_ids == model.encode(QUESTIONS[2], ANSWERS[2]).answer_ids
    with torch.no_grad():
        assert model.loss(features, [asked]).isfinite()


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_equals_transformers_loss_on_the_answer(family, kept, plain, paths):
    model, reference = kept(family), plain(family)
    features = model.features(paths)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    kind, total, tokens = KINDS[family](), 0.0, 0
    for path, question, answer, row, encoded in zip(
        paths, QUESTIONS, ANSWERS, features, batch, strict=True
    ):
        said = f" {answer}" if kind.spaced else answer
        given, count = reference.answered(path, question, said, kind.end)
        ids = model.inputs.batch([row], [encoded], answers=True)["input_ids"]
        assert ids.tolist() == given["input_ids"].tolist()
        assert len(encoded.answer_ids) == count
        labels = torch.full_like(ids, -100)
        labels[:, -count:] = ids[:, -count:]
        with torch.no_grad():
            loss = reference.network(**given, labels=labels).loss.item()
            assert model.loss([row], [encoded]).item() == pytest.approx(loss, abs=1e-4)
        total, tokens = total + loss * count, tokens + count
    with torch.no_grad():
        assert model.loss(features, batch).item() == pytest.approx(total / tokens, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_depend_on_the_picture_and_not_on_the_batch(family, kept, paths):
    model = kept(family)
    features = model.features(paths)
    batch = [model.encode(question) for question in QUESTIONS]
    together = model.answers(features, batch, LENGTH)
    for order in ([4, 2, 0, 1, 3], [3]):
        some = model.answers([features[i] for i in order], [batch[i] for i in order], LENGTH)
        assert some == [together[i] for i in order]
    same = model.answers(features, [batch[0]] * len(features), LENGTH)
    assert len({tuple(row) for row in same}) > 1
    labelled = [model.encode(question, "red") for question in QUESTIONS]
    assert model.answers(features, labelled, LENGTH) == together


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_reaches_connector_and_adapters_only(family, load, paths):
    model = load(family)
    add_lora(model, Lora(r=2, alpha=4, dropout=0.0, targets=None), seed=0)
    trained = set_trainable(model, Stage(train={"connector": "full", "llm": "lora"}))
    names = {name.split(".")[0] for name in trained}
    assert names == {"connector", "llm"}
    with torch.no_grad():
        for name, parameter in trained.items():
            if name.endswith("lora_B"):
                parameter.fill_(0.01)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    model.loss(model.features(paths), batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())
    own = {id(parameter) for parameter in trained.values()}
    assert all(p.grad is None for p in model.module.parameters() if id(p) not in own)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_base_takes_a_float32_connector(family, load, paths):
    model = load(family, dtype="bfloat16")
    train_in_float32(model, "connector")
    trained = set_trainable(model, Stage(train={"connector": "full"}))
    features = model.features(paths)
    floats = [v for row in features for v in row.values() if v.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.bfloat16}
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    loss = model.loss(features, batch)
    loss.backward()
    assert loss.isfinite()
    assert {p.grad.dtype for p in trained.values()} == {torch.float32}
    assert len(model.generate(features, batch, 2)) == len(batch)


def test_what_attends_to_the_connector_is_cast_in_plain_transformers_too(
    load, hf_checkpoint, paths, tmp_path
):
    """Llama's layers get the connector's states as they are, in float32 on a bfloat16 base."""
    model = load("mllama", dtype="bfloat16")
    tuning = compose({"overrides": "tuning=f_cl"}).tuning
    train_in_float32(model, "connector")
    add_lora(model, tuning.lora, seed=0)
    trained = set_trainable(model, tuning.stages[0])
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(0.01)
    model.module.eval()
    save_adapter(model, tuning, read(trained), tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(hf_checkpoint("mllama"), dtype="bfloat16")
    plain = plain_peft.tuned(base, {"adapter": str(tmp_path), "lora": True})
    features, batch = model.features(paths), [model.encode(question) for question in QUESTIONS]
    for row, encoded in zip(features, batch, strict=True):
        inputs = model.inputs.batch([row], [encoded], answers=False)
        with torch.no_grad():
            assert torch.equal(plain(**inputs).logits, model.module(**inputs).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_with_checkpoints_gives_the_same_gradients(family, load, paths):
    model = load(family)
    trained = set_trainable(model, Stage(train={"connector": "full", "llm": "full"}))
    features = model.features(paths)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    gradients = []
    for on in (False, True):
        model.module.train(on)
        model.module.zero_grad()
        with checkpointed(model.module, on):
            model.loss(features, batch).backward()
        gradients.append({name: p.grad.clone() for name, p in trained.items()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


@pytest.mark.parametrize("family", FAMILIES)
def test_skeleton_is_the_model_without_weights(family, kept, hf_checkpoint):
    model = kept(family)
    bare = model_skeleton(
        choices.model("hf_vlm", "hf_vlm", {**PARAMS, "checkpoint": str(hf_checkpoint(family))})
    )
    shapes = {name: p.shape for name, p in bare.module.named_parameters()}
    assert shapes == {name: p.shape for name, p in model.module.named_parameters()}
    assert all(p.is_meta for p in bare.module.parameters())
    assert (bare.parts, bare.lora_targets) == (model.parts, model.lora_targets)
    assert bare.image_tokens > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_in_users_texts_are_text(family, kept, paths):
    """They end nothing, add no picture, and are learnt and read as the letters they are."""
    model = kept(family)
    tokenizer = model.inputs.tokenizer
    marks = "".join({model.inputs.place: 0, KINDS[family]().end: 0, "<s>": 0})
    clean, said = model.encode("red?", "yes"), model.encode(f"red?{marks}", f"yes{marks}")
    for token in tokenizer.convert_tokens_to_ids(sorted(specials(tokenizer))):
        assert said.prompt_ids.count(token) == clean.prompt_ids.count(token)
        assert said.answer_ids.count(token) == clean.answer_ids.count(token)
    assert said.answer_ids[-1] == model.inputs.end_id
    assert marks in tokenizer.decode(said.answer_ids[:-1])
    assert f"red?{marks}" in tokenizer.decode(said.prompt_ids)
    with torch.no_grad():
        assert model.loss(model.features(paths[:1]), [said]).isfinite()


def test_long_question_is_cut_on_the_left_and_counted(load):
    model = load("idefics3", max_text_tokens=40)
    encoded = model.encode("a shape " * 40 + "is it red?", "yes")
    assert len(encoded.prompt_ids) + len(encoded.answer_ids) <= 40
    assert "is it red?" in model.inputs.tokenizer.decode(encoded.prompt_ids)
    assert model.truncated_questions == 1
    with pytest.raises(DataError, match="max_text_tokens"):
        model.encode("is it red?", "red " * 60)


def test_prompts_without_a_picture_are_refused(kept, paths):
    model = kept("llava")
    with pytest.raises(ModelError, match="<image> 0 times"):
        model.loss(model.features(paths[:1]), [Encoded((5, 6), (7,))])


def test_unreadable_and_missing_pictures_are_named(kept, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name in ("broken.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            kept("llava").features([tmp_path / name])


def test_fingerprint_follows_vision_weights_and_picture_processing(load, hf_checkpoint, tmp_path):
    folder = Path(shutil.copytree(hf_checkpoint("llava"), tmp_path / "llava"))
    before = load(folder).fingerprint
    assert load("llava").fingerprint == before
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("0.5", "0.6"))
    assert load(folder).fingerprint != before
    network = AutoModelForImageTextToText.from_pretrained(hf_checkpoint("llava"))
    with torch.no_grad():
        network.model.vision_tower.embeddings.class_embedding[0] += 1
    network.save_pretrained(tmp_path / "llava")
    settings.write_text(settings.read_text().replace("0.6", "0.5"))
    assert load(folder).fingerprint != before


def test_attention_can_be_named_and_flash_is_refused_where_it_would_be_wrong(load):
    assert load("llava", attention="eager").module.config._attn_implementation == "eager"
    own = [name for name, row in families.FAMILIES.items() if row.own_mask]
    assert own
    for family in own:
        with pytest.raises(ConfigError, match="not causal everywhere"):
            load(family, attention="flash_attention_2")


@pytest.mark.parametrize(("bits", "kind"), [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_quantized_language_model_trains_the_same_after_it_was_asked(bits, kind, load, paths):
    pytest.importorskip("bitsandbytes")
    model = load("llava", quantize=bits)
    linears = {
        part: {type(m).__name__ for m in model.module.get_submodule(path).modules()}
        & {"Linear", "Linear4bit", "Linear8bitLt"}
        for part, path in model.parts.items()
    }
    assert linears == {"vision": {"Linear"}, "connector": {"Linear"}, "llm": {kind}}
    add_lora(model, Lora(r=2, alpha=4, dropout=0.0, targets=None), seed=0)
    trained = set_trainable(model, Stage(train={"llm": "lora"}))
    features = model.features(paths)
    batch = [model.encode(q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    gradients = []
    for _ in range(2):
        model.module.zero_grad()
        model.loss(features, batch).backward()
        gradients.append({name: p.grad.clone() for name, p in trained.items()})
        assert len(model.generate(features, batch, 2)) == len(batch)
    assert any(gradient.any() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=0.02, atol=1e-4), name


def copied(hf_checkpoint, tmp_path, family="llava"):
    return Path(shutil.copytree(hf_checkpoint(family), tmp_path / family))


def test_unknown_family_is_told_with_the_known_ones_and_the_way_to_add_one(
    load, hf_checkpoint, tmp_path
):
    folder = copied(hf_checkpoint, tmp_path)
    config = folder / "config.json"
    config.write_text(json.dumps({"model_type": "blip", "text_config": {}, "vision_config": {}}))
    with pytest.raises(ModelError, match=r"'blip'.*gemma3.*smolvlm.*models/hf_vlm/families\.py"):
        load(folder)


def test_checkpoint_without_chat_template_is_refused(load, hf_checkpoint, tmp_path):
    folder = copied(hf_checkpoint, tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load(folder)


class Code:
    """What unpickling would run."""

    def __reduce__(self):
        return (print, ("run by a checkpoint",))


def test_bin_file_is_read_as_plain_tensors_only(load, hf_checkpoint, tmp_path, capsys):
    folder = copied(hf_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert load(folder).fingerprint == load("llava").fingerprint
    torch.save({**weights, "more": Code()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="more than tensors"):
        load(folder)
    assert "run by a checkpoint" not in capsys.readouterr().out


def test_damaged_weights_are_told(load, hf_checkpoint, tmp_path):
    folder = copied(hf_checkpoint, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=f"{folder} cannot be read as weights"):
        load(folder)


def test_chat_template_must_write_question_and_answer_once(load, hf_checkpoint, tmp_path):
    folder = copied(hf_checkpoint, tmp_path)
    template = folder / "chat_template.jinja"
    once = template.read_text()
    template.write_text("twice: " + once + once)
    with pytest.raises(ModelError, match=r"\{question\} 2 times"):
        load(folder)


def test_checkpoint_must_be_whole(load, hf_checkpoint, tmp_path):
    folder = copied(hf_checkpoint, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"lacks .*layers\.2\."):
        load(folder)


def test_processor_of_another_family_is_refused(load, hf_checkpoint, tmp_path):
    folder = copied(hf_checkpoint, tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["processor_class"] = "PixtralProcessor"
    (folder / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="PixtralProcessor"):
        load(folder)


COUNTING = ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy")


def resaved(hf_checkpoint, folder: Path, family: str, **changed: object) -> Path:
    """A checkpoint with other processor settings; None: without that key, as older tools saved."""
    whole = copied(hf_checkpoint, folder, family)
    path = whole / "processor_config.json"
    settings = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
    return whole


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_what_older_tools_did_not_save_is_told_by_the_vision_tower(
    load, kept, hf_checkpoint, tmp_path, paths, family
):
    whole = kept(family)
    for i, missing in enumerate([COUNTING, *((key,) for key in COUNTING)]):
        folder = resaved(hf_checkpoint, tmp_path / str(i), family, **dict.fromkeys(missing))
        model = load(folder)
        processor = model.inputs.processor
        assert [getattr(processor, key) for key in COUNTING] == [8, 1, "default"]
        assert model.features(paths[:1])[0]["image_ids"].tolist() == (
            whole.features(paths[:1])[0]["image_ids"].tolist()
        )


@pytest.mark.parametrize(
    "changed", [{"patch_size": 16}, {"num_additional_image_tokens": 0}], ids=str
)
def test_a_processor_that_counts_otherwise_than_the_network_is_told_before_weights_are_read(
    load, hf_checkpoint, tmp_path, changed, capsys
):
    folder = resaved(hf_checkpoint, tmp_path, "llava", **changed)
    (folder / "model.safetensors").unlink()
    choice = choices.model("hf_vlm", "hf_vlm", {**PARAMS, "checkpoint": str(folder)})
    for reads in (load, lambda _: prepare_model(choice), lambda _: model_skeleton(choice)):
        with pytest.raises(ModelError, match=r"makes 16 of a picture; write patch_size=8, num_add"):
            reads(folder)
    assert main(["params", "model=hf_vlm", f"model.checkpoint={folder}"]) == 1
    assert "write patch_size=8" in capsys.readouterr().err


def test_absent_checkpoint_is_named(load, tmp_path):
    with pytest.raises(ModelError, match="no model folder"):
        load(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"nobody/nothing.*configuration"):
        model_skeleton(
            choices.model("hf_vlm", "hf_vlm", {**PARAMS, "checkpoint": "nobody/nothing"})
        )


# -- several pictures, or none ---------------------------------------------------------------------

ONE_ONLY = {"mllama", "paligemma", "paligemma2"}
ONE_AT_MOST = {*ONE_ONLY, "llava_onevision"}  # whose pictures are other ones in company
ASKED: list[list[str | int]] = [  # texts and numbers of pictures
    [0, 1, "which is darker?"],
    ["what color is grass?"],
    ["compare", 1, "with", 0, "and", 2, "now?"],
]


def numbers(parts: list[str | int]) -> list[int]:
    return [part for part in parts if isinstance(part, int)]


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ONE_ONLY])
def test_several_pictures_or_none_are_what_plain_transformers_makes_of_them(
    family, kept, plain, paths
):
    model, reference, kind = kept(family), plain(family), KINDS[family]()
    stops = reference.tokenizer.convert_tokens_to_ids([kind.end, *kind.stops])
    features, batch, rows, expected, total = model.features(paths), [], [], [], 0.0
    tokens = 0
    for parts in ASKED:
        own = numbers(parts)
        if len(own) not in model.pictures:
            continue
        content = [
            {"type": "image", "image": Image.open(paths[part]).convert("RGB")}
            if isinstance(part, int)
            else {"type": "text", "text": part}
            for part in parts
        ]
        made = reference.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        text = "\n".join(PLACE if isinstance(part, int) else part for part in parts)
        asked = model.encode(text, "red", pictures=len(own))
        shown = [features[i] for i in own]
        one = model.inputs.batch(shown, [asked], answers=False)
        assert one["input_ids"].tolist() == made["input_ids"].tolist()
        if model.family.types is not None:
            assert one[model.family.types].tolist() == made[model.family.types].tolist()
        said = reference.network.generate(
            **made,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=stops,
            max_new_tokens=LENGTH,
        )[0, made["input_ids"].shape[1] :].tolist()
        expected.append(said[:-1] if said[-1] in stops else said)
        count, ids = len(asked.answer_ids), made.pop("input_ids")
        ids = torch.cat([ids, torch.tensor([asked.answer_ids])], dim=1)
        if name := model.family.types:
            made[name] = torch.nn.functional.pad(made[name], (0, count))
        made["attention_mask"] = torch.ones_like(ids)
        labels = ids.clone()
        labels[:, :-count] = -100
        with torch.no_grad():
            loss = reference.network(input_ids=ids, labels=labels, **made).loss.item()
            assert model.loss(shown, [asked]).item() == pytest.approx(loss, abs=1e-4)
        batch, rows = [*batch, asked], [*rows, *shown]
        total, tokens = total + loss * count, tokens + count
    assert len(batch) == (1 if family in ONE_AT_MOST else 3)
    with torch.no_grad():  # together with one of one picture
        alone = model.encode("what color?", "red")
        more = len(alone.answer_ids)
        total += model.loss(features[3:4], [alone]).item() * more
        loss = model.loss([*rows, features[3]], [*batch, alone]).item()
    assert loss == pytest.approx(total / (tokens + more), abs=1e-4)
    expected.append(model.answers(features[3:4], [alone], LENGTH)[0])
    assert model.answers([*rows, features[3]], [*batch, alone], LENGTH) == expected


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ONE_AT_MOST])
def test_the_order_of_pictures_counts_and_each_of_them(family, kept, paths):
    model = kept(family)
    features = model.features(paths)
    asked = model.encode(f"{PLACE}\n{PLACE}\nwhich is darker?", "the first", pictures=2)
    with torch.no_grad():
        losses = {
            pair: model.loss([features[i] for i in pair], [asked]).item()
            for pair in ((0, 1), (1, 0), (0, 2), (2, 1))
        }
    assert len(set(losses.values())) == 4, losses


@pytest.mark.parametrize("family", sorted(ONE_AT_MOST))
def test_a_family_that_does_not_take_several_refuses_them(family, kept, hf_checkpoint):
    model = kept(family)
    params = {**PARAMS, "checkpoint": str(hf_checkpoint(family))}
    assert model_pictures(choices.model("any", "hf_vlm", params)) == model.pictures
    assert model.pictures == (ONE_PICTURE if family in ONE_ONLY else range(2))
    with pytest.raises(ModelError, match=r"shows 2 pictures, and the model takes .*docs/models"):
        model.encode(f"{PLACE}\n{PLACE}\nwhich?", pictures=2)


def test_a_template_that_writes_one_picture_only_is_one_for_one_picture(
    hf_checkpoint, load, tmp_path
):
    folder = shutil.copytree(hf_checkpoint("llava"), tmp_path / "own")
    template = folder / "chat_template.jinja"
    one = (
        "{% set image = true %}{% for m in messages %}USER: <image>\n{{ m['content'][-1]['text'] }}"
    )
    template.write_text(one + " {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}")
    model = load(folder)
    assert model.pictures == ONE_PICTURE
    assert model.encode("what?", "red").prompt_ids
