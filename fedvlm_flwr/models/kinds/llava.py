"""Kind `llava`: a checkpoint of the LLaVA form, or a tiny one that is pretrained here."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    LlavaForConditionalGeneration,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar

from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.curriculum import by_picture, words
from fedvlm_flwr.models.llava import Llava
from fedvlm_flwr.models.prepared import prepare as prepare_folder
from fedvlm_flwr.models.prepared import prepared_folder, verify
from fedvlm_flwr.models.pretrain import Progress, Recipe, pretrain
from fedvlm_flwr.models.tiny_llava import Sizes, build

# Bars would write between the lines of a run's own progress.
disable_progress_bar()  # type: ignore[no-untyped-call]

CODE = 1  # raised by every change of code that changes what a recipe gives
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Public:
    """The dataset whose public pictures a tiny model is pretrained on."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tiny:
    """A small network and the way it is taught."""

    sizes: Sizes
    pretrain: Recipe
    public: Public


@dataclass(frozen=True)
class Params:
    """The keys of a model YAML of this kind; exactly one of `checkpoint` and `tiny` is given."""

    template: str  # the prompt around {question}, with <image> in the picture's place
    checkpoint: str | None = None  # a local folder or a hub id
    tiny: Tiny | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.tiny is None):
            raise ConfigError(
                "Set exactly one of model.checkpoint (a folder or hub id) and model.tiny."
            )
        if self.dtype not in DTYPES:
            raise ConfigError(f"model.dtype is '{self.dtype}'; choose one of: {', '.join(DTYPES)}.")


def load(name: str, params: Params, device: torch.device) -> Llava:
    """The model, in evaluation mode on `device`.

    Raises:
        ModelError: a tiny model is not prepared or corrupt, or the checkpoint cannot be read.
    """
    if params.checkpoint is not None:
        return from_checkpoint(params.checkpoint, params, device)
    folder = prepared_folder(name, recipe(params))
    if not folder.exists():
        raise ModelError(f"The model '{name}' is not prepared ({folder}); run `fedvlm prepare`.")
    verify(folder)
    return from_checkpoint(str(folder), params, device)


def from_checkpoint(checkpoint: str, params: Params, device: torch.device) -> Llava:
    """Read network, tokenizer and picture processing from a folder or the hub's cache."""
    try:
        module = LlavaForConditionalGeneration.from_pretrained(
            checkpoint, dtype=DTYPES[params.dtype], use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            checkpoint, backend="pil"
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"The checkpoint {checkpoint} cannot be read as a LLaVA model: {reason}"
        ) from error
    module.requires_grad_(False)
    network: nn.Module = module
    network.eval().to(device)
    return Llava(module, tokenizer, processor, params.template)


def prepare(name: str, params: Params, progress: Progress | None = None) -> Path | None:
    """Pretrain the tiny model unless that is done already; its folder, None for a checkpoint."""
    if params.tiny is None:
        return None
    return prepare_folder(name, recipe(params), builder(params, params.tiny, progress))


def found(name: str, params: Params) -> Path | None:
    """The folder of a tiny model that is prepared already, None where there is none.

    Raises:
        ModelError: its files are not what was written.
    """
    if params.tiny is None:
        return None
    folder = prepared_folder(name, recipe(params))
    if not folder.exists():
        return None
    verify(folder)
    return folder


def recipe(params: Params) -> dict[str, Any]:
    """Everything that determines a tiny model's weights, as plain values."""
    return {"code": CODE, "template": params.template, "tiny": asdict(params).get("tiny")}


def builder(params: Params, tiny: Tiny, progress: Progress | None) -> Callable[[Path], None]:
    """What writes the pretrained model into a folder."""

    def write(folder: Path) -> None:
        data = load_data(tiny.public.name, tiny.public.params)
        pictures = by_picture(examples(data.public, data.root))
        model = build(tiny.sizes, params.template, words(pictures), tiny.pretrain.seed)
        threads = torch.get_num_threads()
        torch.set_num_threads(tiny.pretrain.threads)
        try:
            pretrain(model, pictures, tiny.pretrain, progress)
        finally:
            torch.set_num_threads(threads)
        assert isinstance(model.module, PreTrainedModel)
        model.module.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        model.processor.save_pretrained(folder)

    return write
