"""What a Show-o is made of: sizes, vocabulary, and the network with its published names."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PhiConfig, PhiForCausalLM
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fedvlm_flwr.models.showo.magvit import MagvitTokenizer
from fedvlm_flwr.models.showo.sizes import PhiSizes, ShowoSizes

PARTS_OF = {"vision": "image_tokenizer", "llm": "showo.model"}
ROOT = "showo"
ROPE_BASE = 10000.0  # Phi's own


@dataclass(frozen=True)
class Vocabulary:
    """Where words, marks and codes stand in the embedding table.

    In this order: the text tokenizer's words, [PAD], <|soi|>, <|eoi|>, <|sov|>, <|eov|>, <|t2i|>,
    <|mmu|>, <|t2v|>, <|v2v|>, <|lvg|>, the codes of pictures, the mask of picture generation.
    """

    words: int  # of the text tokenizer
    codes: int

    @property
    def pad(self) -> int:
        """Fills a batch's shorter rows."""
        return self.words

    @property
    def soi(self) -> int:
        """Before a picture."""
        return self.words + 1

    @property
    def eoi(self) -> int:
        """After a picture."""
        return self.words + 2

    @property
    def mmu(self) -> int:
        """At the very start: what follows is to be understood, not drawn."""
        return self.words + 6

    @property
    def first_code(self) -> int:
        """Code 0; the others follow."""
        return self.words + 10

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return self.first_code + self.codes + 1


class ShowoNetwork(nn.Module):
    """The language model under the published prefix `showo.`, and the image tokenizer."""

    def __init__(self, showo: PhiForCausalLM, image_tokenizer: MagvitTokenizer) -> None:
        super().__init__()
        self.showo = showo
        self.image_tokenizer = image_tokenizer


def phi_config(sizes: PhiSizes, vocabulary: Vocabulary, end_id: int | None) -> PhiConfig:
    """Phi with norms on queries and keys, without dropout, as Show-o has it."""
    return PhiConfig(
        vocab_size=vocabulary.size,
        hidden_size=sizes.width,
        intermediate_size=sizes.mlp_width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.positions,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": ROPE_BASE,
            "partial_rotary_factor": sizes.rotary_share,
        },
        qk_layernorm=True,
        # The usual 0.02 suits widths of thousands, where it is about the same.
        initializer_range=sizes.width**-0.5,
        bos_token_id=None,
        eos_token_id=end_id,
    )


def network(sizes: ShowoSizes, vocabulary: Vocabulary, end_id: int | None = None) -> ShowoNetwork:
    """The network with random weights, or without any on the meta device."""
    llm = PhiForCausalLM(phi_config(sizes.llm, vocabulary, end_id))
    return ShowoNetwork(llm, MagvitTokenizer(sizes.image))


def skeleton_of(sizes: ShowoSizes, vocabulary: Vocabulary) -> ShowoNetwork:
    """The network on the meta device."""
    with torch.device("meta"):
        return network(sizes, vocabulary)


def image_processor(resolution: int) -> BaseImageProcessor:
    """The shorter side to `resolution` pixels, the middle square of that, values in -1..1."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": resolution},
        crop_size={"height": resolution, "width": resolution},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
