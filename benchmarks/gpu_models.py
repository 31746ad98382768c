"""The models of `gpu.py`: the real code's, with random weights, in full size or in tiny."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.llava.random_weights import random_llava
from fedvlm_flwr.models.resident import Resident, make_trainable
from fedvlm_flwr.models.showo.random_weights import random_showo
from fedvlm_flwr.planning.measure import SIDE, WORD, longest_example
from fedvlm_flwr.planning.memory import Lengths
from fedvlm_flwr.process import Process

MODELS = ("llava_clip_llama32_3b", "showo_512")
SEED = 0
# A few thousand weights, whatever the published sizes are.
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 4}
TINY_VISION = {**TINY, "image_size": 64}
TINY_LLM = {**TINY, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000}


def configured(model: str, size: str, **train: Any) -> Config:
    """The configuration of LoRA at bfloat16; `train` are keys of it, quantize one of the model."""
    quantize = train.pop("quantize", None)
    words = [f"model={model}", "tuning=f_l", "engine=inprocess", "train.precision=bfloat16"]
    config = Process().compose({"overrides": " ".join(words)})
    params = replace(config.model.params, quantize=quantize)
    if size == "tiny":
        params = _tiny(params)
    choice = replace(config.model, params=params)
    return replace(config, model=choice, train=replace(config.train, **train))


def _tiny(params: Any) -> Any:
    if not hasattr(params, "sizes"):
        vision, llm = params.architectures
        small = {vision: TINY_VISION, llm: TINY_LLM}
        sizes = {name: {**params.architectures[name], **small[name]} for name in small}
        return replace(params, architectures=sizes)
    llm = replace(params.sizes.llm, layers=2, width=64, mlp_width=128, heads=4)
    channels, blocks = [16, 16], [1, 1]
    image = replace(
        params.sizes.image,
        encoder_channels=channels,
        encoder_blocks=blocks,
        decoder_channels=channels,
        decoder_blocks=blocks,
        bits=4,
        groups=4,
    )
    sizes = replace(params.sizes, words=400, llm=llm, image=image)
    return replace(params, sizes=sizes, resolution=16)


def built(config: Config, device: torch.device) -> Resident:
    """The resident model of a client, as `load_resident` makes it of trained weights."""
    make = random_showo if config.model.kind == "showo" else random_llava
    vlm = make(config.model.params, device, SEED, [WORD])
    make_trainable(vlm, config)
    vlm.module.eval()
    features = FeatureCache(vlm, config.engine.feature_megabytes, on_disk=False)
    return Resident(vlm, config.tuning.stages, features)


def example(model: Resident, folder: Path, lengths: Lengths) -> Example:
    """One of the given lengths, and its picture as a file."""
    picture = folder / "picture.png"
    Image.linear_gradient("L").resize(SIDE).convert("RGB").save(picture)
    return longest_example(model.vlm, picture, lengths)


def tokens_of(model: Resident, one: Example, image_tokens: int) -> int:
    """Places of an example in the language model: the picture's, the question's, the answer's."""
    row = model.vlm.encode(one.question, one.answer)
    marks = row.prompt_ids.count(getattr(model.vlm, "image_id", -1))  # replaced by the picture
    return image_tokens - marks + len(row.prompt_ids) + len(row.answer_ids)
