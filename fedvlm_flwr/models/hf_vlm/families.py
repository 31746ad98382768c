"""The families of transformers' image-text-to-text models that this package can train.

A family is a `model_type` of transformers. To add one, write a row: where its parts lie, which
processor writes its prompts, which of the processor's tensors belong to a picture, and what is
peculiar about its attention; then a builder of a tiny checkpoint of it to the tests' `hf_tiny.py`,
which puts it through every test of the kind `hf_vlm`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedvlm_flwr.errors import ModelError


@dataclass(frozen=True)
class Family:
    """What the adapter has to know of a family.

    Attributes:
        vision, connector, llm: module paths inside the model with head. A connector may lie inside
            the vision tower.
        processor: the transformers class that writes a picture's place into a prompt and makes its
            tensors.
        pictures: the tensors of the processor's output that go with a picture.
        types: the model's argument that tells picture places (1) from text (0) in the sequence;
            None: it takes none.
        joined: the dimension in which the vision tower's outputs of several pictures follow each
            other, so that they can be kept; None: they cannot, and the tower runs at every step.
        one: an example shows exactly one picture: the family was not made for more, and of none its
            processor makes nothing.
        cross_mask: the model's argument that tells for each token which of a picture's tiles it
            attends to, in a family that attends to pictures beside the sequence; None: their
            tokens lie in the sequence.
        answer_type: what `types` holds for the tokens of an answer.
        own_mask: attention that is not causal everywhere, which flash attention cannot compute.
        softcap: the head's logits are bounded by the text configuration's
            `final_logit_softcapping`.
        plain: what stands before and after a question, where the family has no chat template;
            `{image}` and `{bos}` stand for those tokens.
        handed: the same as the processor takes it, which adds the rest by itself.
    """

    vision: str
    connector: str
    llm: str
    processor: str
    pictures: tuple[str, ...] = ("pixel_values",)
    types: str | None = None
    joined: int | None = 0
    one: bool = False
    cross_mask: str | None = None
    answer_type: int = 0
    own_mask: bool = False
    softcap: bool = False
    plain: tuple[str, str] | None = None
    handed: tuple[str, str] | None = None

    @property
    def parts(self) -> dict[str, str]:
        """Module path by part."""
        return {"vision": self.vision, "connector": self.connector, "llm": self.llm}


_LLAVA = ("model.vision_tower", "model.multi_modal_projector", "model.language_model")
_IDEFICS = ("model.vision_model", "model.connector", "model.text_model")
_QWEN = ("model.visual", "model.visual.merger", "model.language_model")
_TILES = ("pixel_values", "pixel_attention_mask")
_SIZED = ("pixel_values", "image_sizes")
_GRID = ("pixel_values", "image_grid_thw")
_ORDER = "mm_token_type_ids"  # Qwen finds the picture's rows and columns by it

FAMILIES: Mapping[str, Family] = {
    "aya_vision": Family(*_LLAVA, "AyaVisionProcessor"),
    "gemma3": Family(*_LLAVA, "Gemma3Processor", types="token_type_ids", own_mask=True),
    "gemma4": Family(
        "model.vision_tower",
        "model.embed_vision",
        "model.language_model",
        "Gemma4Processor",
        ("pixel_values", "image_position_ids"),
        _ORDER,
        own_mask=True,
        softcap=True,
    ),
    "glm4v": Family(*_QWEN, "Glm4vProcessor", _GRID, _ORDER),
    "idefics3": Family(*_IDEFICS, "Idefics3Processor", _TILES),
    "internvl": Family(*_LLAVA, "InternVLProcessor"),
    "llava": Family(*_LLAVA, "LlavaProcessor"),
    "llava_next": Family(*_LLAVA, "LlavaNextProcessor", _SIZED),
    "llava_onevision": Family(*_LLAVA, "LlavaOnevisionProcessor", (*_SIZED, "batch_num_images")),
    "mistral3": Family(*_LLAVA, "PixtralProcessor", _SIZED, joined=1),
    "mllama": Family(
        "model.vision_model",
        "model.multi_modal_projector",
        "model.language_model",
        "MllamaProcessor",
        ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"),
        cross_mask="cross_attention_mask",
        one=True,
        own_mask=True,
    ),
    "paligemma": Family(
        *_LLAVA,
        "PaliGemmaProcessor",
        types="token_type_ids",
        answer_type=1,
        own_mask=True,
        softcap=True,
        one=True,
        plain=("{image}{bos}", "\n"),
        handed=("{image}", ""),
    ),
    "qwen2_5_vl": Family(*_QWEN, "Qwen2_5_VLProcessor", _GRID, _ORDER),
    "qwen2_vl": Family(*_QWEN, "Qwen2VLProcessor", _GRID, _ORDER),
    "qwen3_5": Family(*_QWEN, "Qwen3VLProcessor", _GRID, _ORDER),
    "qwen3_vl": Family(*_QWEN, "Qwen3VLProcessor", _GRID, _ORDER),
    "qwen3_vl_moe": Family(*_QWEN, "Qwen3VLProcessor", _GRID, _ORDER),
    # Its own processor needs num2words, for videos; a picture is written as Idefics3 writes it.
    "smolvlm": Family(*_IDEFICS, "Idefics3Processor", _TILES),
}

# Two sites with and without torchvision would see one picture in different pixels.
REFUSED: Mapping[str, str] = {
    "gemma3n": "its vision tower is one of timm, which needs torchvision; use gemma3 or gemma4",
    "lfm2_vl": "its pictures can be processed by torchvision only; use another family",
}


def family_of(source: str, config: Any) -> Family:
    """The row of a checkpoint's family.

    Args:
        source: the checkpoint, for the message.
        config: its configuration.

    Raises:
        ModelError: there is no such row.
    """
    kind = str(config.model_type)
    if kind in REFUSED:
        raise ModelError(
            f"{source} is of the family '{kind}', which this version cannot train: "
            f"{REFUSED[kind]} (known: {', '.join(FAMILIES)})."
        )
    if kind not in FAMILIES:
        raise ModelError(
            f"{source} is of the family '{kind}', which this version cannot train; known: "
            f"{', '.join(FAMILIES)}. To add one, write its row in "
            "fedvlm_flwr/models/hf_vlm/families.py: the module paths of vision tower, connector "
            "and language model, and its processor."
        )
    return FAMILIES[kind]
