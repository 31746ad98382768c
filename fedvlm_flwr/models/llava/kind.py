"""Kind `llava`: a checkpoint of the LLaVA form, one put together from parts, or a tiny one."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from fedvlm_flwr.contracts import Progress
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.chat import Turn, pictures_in, template_of, turn_of
from fedvlm_flwr.models.llava.assembly import assemble, reconnect
from fedvlm_flwr.models.llava.connectors import network_class
from fedvlm_flwr.models.llava.description import describe, read_tokenizer
from fedvlm_flwr.models.llava.examination import (
    attention_for,
    examine,
    image_token_of,
    meta_network,
)
from fedvlm_flwr.models.llava.model import IMAGE, PARTS_OF, Llava, placed_wording
from fedvlm_flwr.models.llava.params import ConnectorStart, Params
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.pretraining.data import texts_of
from fedvlm_flwr.models.pretraining.llava_stages import pretrain
from fedvlm_flwr.models.pretraining.public import public_pictures, threads
from fedvlm_flwr.models.pretraining.tiny_llava import build, configuration, tokenizer_for
from fedvlm_flwr.models.prompts import QUESTION
from fedvlm_flwr.models.vlm import ANY_PICTURES, Skeleton
from fedvlm_flwr.models.weights.loading import STORED, quantization_of, torch_dtype
from fedvlm_flwr.models.weights.prepared import find, require
from fedvlm_flwr.models.weights.prepared import prepare as prepare_folder
from fedvlm_flwr.models.weights.quantized import trainable_on_cpu
from fedvlm_flwr.models.weights.sources import (
    identity,
    locate,
    read_config,
    read_image_processor,
    read_weights,
    reading,
    require_whole,
    sizing,
)

# Bars would write between the lines of a run's own progress.
disable_progress_bar()  # type: ignore[no-untyped-call]

# Raised by every change of code that changes what a recipe gives.
TINY_CODE, ASSEMBLY_CODE, START_CODE = 2, 2, 1
PATHS = {"vision", "llm", "connector_weights"}
UNQUANTIZED = [PARTS_OF["vision"], PARTS_OF["connector"], "lm_head"]


def load(name: str, params: Params, device: torch.device) -> Llava:
    """The model, in evaluation mode on `device`.

    Raises:
        ModelError: a model that is made here is not prepared or corrupt, or the checkpoint cannot
            be read.
    """
    if params.checkpoint is not None:
        return from_checkpoint(params.checkpoint, params, device)
    folder = require(name, recipe(params))
    model = from_checkpoint(str(folder), params, device)
    if params.connector_start is not None and params.connector_weights is None:
        model.untrained = ("connector",)
    return model


def from_checkpoint(checkpoint: str, params: Params, device: torch.device) -> Llava:
    """Read network, tokenizer and picture processing from a folder or the hub's cache."""
    quantized = quantization_of(params, UNQUANTIZED)
    config = read_config(checkpoint)
    module, loading_info = read_weights(
        network_class(config),
        checkpoint,
        "a LLaVA model",
        dtype=torch_dtype(params),
        **attention_for(meta_network(config), params, device),
        **({"device_map": {"": device}, **quantized} if quantized else {}),
    )
    require_whole(checkpoint, loading_info)
    with reading(checkpoint, "a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(locate(checkpoint)[0])
    module.requires_grad_(False)
    module.eval()
    if quantized:
        trainable_on_cpu(module)
    else:
        module.to(device)
    image_token = image_token_of(checkpoint, config, tokenizer, params.image_token)
    return Llava(
        module,
        tokenizer,
        read_image_processor(checkpoint),
        wording_of(params, tokenizer, checkpoint, image_token),
        params.max_text_tokens,
        image_token,
        params.follow_up,
    )


def wording_of(
    params: Params, tokenizer: PreTrainedTokenizerBase, source: str, image_token: str
) -> str | Turn:
    """The prompt: as `model.template` says, else as the tokenizer's own chat template writes it.

    Raises:
        ModelError: the tokenizer has none and `model.plain_template` is null.
    """
    if params.template is not None:
        return params.template
    template = template_of(tokenizer)
    if template is not None:
        return turn_of(tokenizer, template, source, image_token)
    if params.plain_template is None:
        raise ModelError(
            f"The tokenizer of {source} has no chat template; set model.template to a prompt with "
            f"{IMAGE} and {QUESTION} in it."
        )
    return params.plain_template


def prepare(name: str, params: Params, progress: Progress | None = None) -> Path | None:
    """Make the model unless that is done already; its folder, None for a checkpoint.

    Raises:
        ModelError: what is to be put together, or the checkpoint, cannot be trained or read.
    """
    if params.checkpoint is not None:
        examine(params.checkpoint, params, local_files_only=False)
        return None
    start = params.connector_start
    if params.tiny is None or start is None:
        return prepare_folder(name, recipe(params), builder(params, progress))
    base = replace(params, connector=None, connector_weights=None)
    source = prepare_folder(name, recipe(base), builder(base, progress))
    return prepare_folder(name, recipe(params), partial(reconnect, source, start))


def folder(name: str, params: Params) -> Path | None:
    """The folder of a model that was made already, None where there is none.

    Raises:
        ModelError: its files are not what was written.
    """
    return find(name, recipe(params)) if params.checkpoint is None else None


def recipe(params: Params) -> dict[str, Any]:
    """Everything that determines the weights of a model that is made here, as plain values."""
    if params.tiny is not None:
        tiny = asdict(params.tiny)
        base = {"code": TINY_CODE, "template": params.prompt, "tiny": tiny}
        if params.connector_start is None:
            return base
        return {**base, "start": sources(params.connector_start), "start_code": START_CODE}
    assembly = sources(params.assembly)
    return {"code": ASSEMBLY_CODE, "assembly": assembly, "dtype": params.dtype}


def sources(recipe: ConnectorStart) -> dict[str, Any]:
    """What something is put together from as plain values, its files however a path is written."""
    values = asdict(recipe)
    for key in PATHS & values.keys():
        values[key] = identity(values[key]) if values[key] is not None else None
    return values


def builder(params: Params, progress: Progress | None) -> Callable[[Path], None]:
    """What writes the model into a folder."""

    def write(folder: Path) -> None:
        if params.tiny is None:
            tell = progress or (lambda *_: None)
            tell(0, 1, 0.0)
            assemble(params.assembly, torch_dtype(params), folder)
            tell(1, 1, 0.0)
            return
        tiny = params.tiny
        pictures = public_pictures(tiny.public)
        seed = tiny.pretrain.seed
        model = build(tiny.sizes, params.prompt, texts_of(pictures), seed, params.max_text_tokens)
        with threads(tiny.pretrain.threads):
            pretrain(model, pictures, tiny.pretrain, progress)
        network: Any = model.module.to(STORED)
        network.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        model.processor.save_pretrained(folder)

    return write


def skeleton(params: Params) -> Skeleton:
    """The network on the meta device; a tiny one's words are read from its public pictures."""
    if params.tiny is not None:
        texts = texts_of(public_pictures(params.tiny.public))
        tokenizer = tokenizer_for(texts, params.prompt)
        module = meta_network(configuration(params.tiny.sizes, tokenizer, params.connector))
    elif params.checkpoint is not None:
        module = meta_network(examine(params.checkpoint, params, local_files_only=True))
    else:
        with sizing():
            config = describe(params.assembly, params.architectures, local_files_only=True)
            module = meta_network(config)
    module.requires_grad_(False)
    targets = linear_names(module.get_submodule(PARTS_OF["llm"]))
    tokens = module.config.image_seq_length
    return Skeleton(module, PARTS_OF, targets, image_tokens=tokens, packs=True)


def pictures(params: Params) -> range:
    """How many pictures an example may show: what the prompt has a form for.

    Raises:
        ModelError: the tokenizer whose chat template is the prompt cannot be read.
    """
    if params.template is not None:
        return ANY_PICTURES
    if params.checkpoint is not None:
        source, config = params.checkpoint, read_config(params.checkpoint)
        with reading(source, "a tokenizer"):
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(locate(source)[0])
        token = image_token_of(source, config, tokenizer, params.image_token)
    else:
        source, tokenizer = params.assembly.llm, read_tokenizer(params.assembly)
        token = params.image_token or IMAGE
    wording = wording_of(params, tokenizer, source, token)
    return pictures_in(placed_wording(wording, params.follow_up, token))


def parts(params: Params) -> Mapping[str, str]:
    """Module path by part."""
    return PARTS_OF
