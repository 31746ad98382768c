"""Kind `showo`: a Show-o in its published format, or a tiny one that is pretrained here."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, PhiForCausalLM, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from fedvlm_flwr.contracts import Progress
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.pretraining.data import texts_of
from fedvlm_flwr.models.pretraining.public import public_pictures, threads
from fedvlm_flwr.models.pretraining.tiny_showo import build, pretrain, tokenizer_for
from fedvlm_flwr.models.showo.magvit import MagvitTokenizer
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import (
    PARTS_OF,
    ROOT,
    ShowoNetwork,
    Vocabulary,
    phi_config,
    skeleton_of,
)
from fedvlm_flwr.models.showo.params import Params, Tiny
from fedvlm_flwr.models.showo.sizes import MARKS
from fedvlm_flwr.models.vlm import ONE_PICTURE, Skeleton
from fedvlm_flwr.models.weights.loading import STORED, quantization_of, torch_dtype
from fedvlm_flwr.models.weights.prepared import find, require
from fedvlm_flwr.models.weights.prepared import prepare as prepare_folder
from fedvlm_flwr.models.weights.quantized import trainable_on_cpu
from fedvlm_flwr.models.weights.sources import locate, read_weights, reading, require_whole
from fedvlm_flwr.models.weights.state_files import fill

# Bars would write between the lines of a run's own progress.
disable_progress_bar()  # type: ignore[no-untyped-call]

CODE = 2  # raised by every change of code that changes what a recipe gives
IMAGE_TOKENIZER = "image_tokenizer.safetensors"  # in a tiny model's folder


def load(name: str, params: Params, device: torch.device) -> Showo:
    """The model, in evaluation mode on `device`.

    Raises:
        ModelError: a tiny model is not prepared or corrupt, or weights or tokenizer cannot be read
            or do not fit the sizes.
        ConfigError: quantization is asked for and cannot be had.
    """
    if params.tiny is None:
        assert params.checkpoint is not None
        assert params.image_tokenizer is not None and params.text_tokenizer is not None
        sources = (params.checkpoint, params.image_tokenizer, params.text_tokenizer)
        return from_sources(*sources, params, device)
    folder = require(name, recipe(params))
    return from_sources(str(folder), str(folder / IMAGE_TOKENIZER), str(folder), params, device)


def from_sources(
    checkpoint: str, image_tokenizer: str, text_tokenizer: str, params: Params, device: torch.device
) -> Showo:
    """Read language model, image tokenizer and text tokenizer, each from where it is."""
    with torch.device("meta"):
        vision = MagvitTokenizer(params.sizes.image)
    fill(vision, image_tokenizer)
    tokenizer = read_tokenizer(text_tokenizer, params.sizes.words)
    vocabulary = Vocabulary(len(tokenizer), params.sizes.image.codes)
    quantized = quantization_of(params, ["lm_head"])
    llm, loading_info = read_weights(
        PhiForCausalLM,
        checkpoint,
        "Show-o's language model",
        config=phi_config(params.sizes.llm, vocabulary, tokenizer.eos_token_id),
        key_mapping={r"^showo\.": ""},
        dtype=torch_dtype(params),
        attn_implementation=params.implementation,
        ignore_mismatched_sizes=True,  # reported with the others instead
        **({"device_map": {"": device}, **quantized} if quantized else {}),
    )
    require_whole(checkpoint, loading_info)
    if quantized:
        trainable_on_cpu(llm)
    else:
        llm.to(device)
    module = ShowoNetwork(llm, vision.to(device))
    module.requires_grad_(False)
    module.eval()
    return Showo(
        module,
        tokenizer,
        params.resolution,
        params.template,
        params.max_text_tokens,
        params.follow_up,
    )


def read_tokenizer(source: str, words: int | None) -> PreTrainedTokenizerBase:
    """The text tokenizer.

    Raises:
        ModelError: it cannot be read, or has another number of tokens than the sizes say.
    """
    with reading(source, "a tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(locate(source)[0])
    if words is not None and len(tokenizer) != words:
        raise ModelError(
            f"The tokenizer {source} has {len(tokenizer)} tokens and model.sizes.words is {words}, "
            "so that marks and codes would stand elsewhere; give the tokenizer that the "
            "checkpoint was trained with."
        )
    return tokenizer


def prepare(name: str, params: Params, progress: Progress | None = None) -> Path | None:
    """Pretrain the tiny model unless that is done already; its folder, None for a checkpoint."""
    if params.tiny is None:
        return None
    return prepare_folder(name, recipe(params), builder(params, params.tiny, progress))


def folder(name: str, params: Params) -> Path | None:
    """The folder of a tiny model that is prepared already, None where there is none.

    Raises:
        ModelError: its files are not what was written.
    """
    return None if params.tiny is None else find(name, recipe(params))


def recipe(params: Params) -> dict[str, Any]:
    """Everything that determines a tiny model's weights, as plain values."""
    return {
        "code": CODE,
        "template": params.template,
        "resolution": params.resolution,
        "sizes": asdict(params.sizes),
        "tiny": asdict(params)["tiny"],
    }


def builder(params: Params, tiny: Tiny, progress: Progress | None) -> Callable[[Path], None]:
    """What writes the pretrained model into a folder."""

    def write(folder: Path) -> None:
        pictures = public_pictures(tiny.public)
        tokenizer = tokenizer_for(texts_of(pictures), params.template)
        module = build(params.sizes, tokenizer, tiny.pretrain.seed)
        model = Showo(module, tokenizer, params.resolution, params.template, params.max_text_tokens)
        with threads(tiny.pretrain.threads):
            pretrain(model, pictures, tiny.pretrain, progress)
        module.to(STORED)
        module.showo.save_pretrained(folder)
        save_file(module.image_tokenizer.state_dict(), folder / IMAGE_TOKENIZER)
        tokenizer.save_pretrained(folder)

    return write


def skeleton(params: Params) -> Skeleton:
    """The network on the meta device; a tiny one's words are counted on its public pictures."""
    count = params.sizes.words
    if params.tiny is not None:
        texts = texts_of(public_pictures(params.tiny.public))
        count = len(tokenizer_for(texts, params.template))
    assert count is not None
    module = skeleton_of(params.sizes, Vocabulary(count, params.sizes.image.codes))
    module.requires_grad_(False)
    targets = linear_names(module.get_submodule(PARTS_OF["llm"]))
    tokens = params.tokens + MARKS
    return Skeleton(module, PARTS_OF, targets, ROOT, tokens, packs=True)


def pictures(params: Params) -> range:
    """One: it is what every position sees before the text."""
    return ONE_PICTURE


def parts(params: Params) -> Mapping[str, str]:
    """Module path by part."""
    return PARTS_OF
