"""Small random Show-os, as objects and as folders in the published formats; the golden numbers.

`golden/showo.json` was computed with the public Show-o and MAGVIT-v2 modules on weights that its
`fill` describes.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from fedvlm_flwr.models.pretraining.tiny_showo import build
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import ShowoNetwork
from fedvlm_flwr.models.showo.sizes import MagvitSizes, PhiSizes, ShowoSizes

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "showo.json").read_text())
TEMPLATE = "USER: \n{question} ASSISTANT:"
TEXTS = (
    "USER: \nwhere is the shape? ASSISTANT: [0.31, 0.20, 0.45, 0.45]",
    "USER: \nis there a red shape in the image? ASSISTANT: yes no",
    "USER: \ndescribe the image. ASSISTANT: a blue rectangle",
)
IMAGE = MagvitSizes(
    encoder_channels=[8, 8, 8, 8, 16],
    encoder_blocks=[0, 1, 0, 0, 1],
    decoder_channels=[8, 8, 8, 8, 16],
    decoder_blocks=[0, 1, 0, 1, 1],
    bits=6,
    groups=4,
)
WORDS = 300  # tokens of the text tokenizer
LLM = PhiSizes(layers=2, width=64, mlp_width=128, heads=4, rotary_share=0.5, positions=256)


def golden_weight(name: str, shape: list[int]) -> Tensor:
    """The weight of this name, as the golden file's `fill` says."""
    state = np.random.RandomState((zlib.crc32(name.encode()) + GOLDEN["seed"]) % 2**32)
    values = state.standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        values /= np.sqrt(np.prod(shape[1:])).astype(np.float32)
    else:
        values = np.float32(0.1) * values + np.float32(name.endswith("weight"))
    return torch.from_numpy(values)


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of Phi's kind: bytes, merges, and <|endoftext|> at the end of a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )


def sizes(words: int | None = None) -> ShowoSizes:
    """A few ten thousand weights; 16 image tokens for a picture of 64 pixels."""
    return ShowoSizes(words, LLM, IMAGE)


def shaken(module: ShowoNetwork) -> ShowoNetwork:
    """Larger weights than at the usual start, so that answers depend on their input, of words."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3, generator=generator)
        module.showo.lm_head.bias[-(IMAGE.codes + 11) :] = -100  # no marks, no codes
    return module


def showo(max_text_tokens: int = 64, attention: str = "sdpa") -> Showo:
    """A random Show-o on pictures of 64 pixels."""
    tokenizer = bpe_tokenizer()
    module = shaken(build(sizes(), tokenizer, seed=0)).eval()
    module.showo.set_attn_implementation(attention)
    return Showo(module, tokenizer, 64, TEMPLATE, max_text_tokens)


def publish(model: Showo, folder: Path, *, pickled: bool = False) -> dict[str, str]:
    """Write a model as Show-o, MAGVIT-v2 and Phi's tokenizer are published; the model's keys."""
    parts = {
        "checkpoint": {f"showo.{k}": v for k, v in model.module.showo.state_dict().items()},
        "image_tokenizer": model.vision.state_dict(),
    }
    for key, state in parts.items():
        (folder / key).mkdir(parents=True)
        if pickled:
            torch.save(state, folder / key / "pytorch_model.bin")
        else:
            save_file(state, folder / key / "model.safetensors", {"format": "pt"})
    told = {"_class_name": "Showo", "w_clip_vit": False, "vocab_size": model.vocabulary.size}
    (folder / "checkpoint" / "config.json").write_text(json.dumps(told))
    model.tokenizer.save_pretrained(folder / "text_tokenizer")
    return {key: str(folder / key) for key in (*parts, "text_tokenizer")}
