"""Which of a vision tower's tokens are a picture's patches, told by the tower itself."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModel, PreTrainedConfig

from fedvlm_flwr.errors import ModelError

PROBE = (64, 48)  # width and height of a picture that is only there to be processed
UNFIT = (AttributeError, ImportError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class TowerTokens:
    """The tokens of a vision tower's hidden states, for one picture.

    Attributes:
        before: those that stand before the patches: of the class, registers.
        patches: one for each patch.
    """

    before: int
    patches: int


def picture_size(source: str, processing: Any) -> tuple[int, int]:
    """Height and width in pixels of what a picture processing makes.

    Raises:
        ModelError: it makes no pictures of three colors.
    """
    pixels = processing(Image.new("RGB", PROBE), return_tensors="pt")["pixel_values"]
    if pixels.dim() < 4 or pixels.shape[-3] != 3:
        raise ModelError(
            f"The picture processing of {source} ({type(processing).__name__}) makes tensors "
            f"{list(pixels.shape[1:])} of a picture instead of [3, height, width]; give a vision "
            "tower that takes pictures of one size, for example a CLIP, SigLIP or DINOv2."
        )
    return pixels.shape[-2], pixels.shape[-1]


def tower_tokens(
    source: str, config: PreTrainedConfig, size: tuple[int, int], layers: int | list[int]
) -> TowerTokens:
    """Go through a vision tower without weights, to see what it makes of a picture.

    Args:
        source: where the tower comes from, for messages.
        config: the tower's configuration.
        size: height and width of pictures, in pixels.
        layers: which hidden states are used.

    Raises:
        ModelError: the tower does not take such pictures, or gives no row of patches at a layer.
    """
    kind = config.model_type
    states = _hidden_states(source, config, size)
    side = getattr(config, "patch_size", None)
    shapes: set[tuple[int, ...]] = set()
    for layer in [layers] if isinstance(layers, int) else layers:
        if not -len(states) <= layer < len(states):
            raise ModelError(
                f"There is no layer {layer} in the vision tower {source}, which has "
                f"{len(states) - 1}; set model.vision_feature_layer to one of them."
            )
        shapes.add(tuple(states[layer].shape[1:]))
    shape = shapes.pop()
    high, wide = pair(side)
    if not high or not wide or shapes or len(shape) != 2:
        raise ModelError(
            f"The vision tower {source} ('{kind}') does not give one token for each patch of a "
            f"picture at layer {layers}, but a tensor {list(shape)}; give another one, for example "
            "a CLIP, SigLIP or DINOv2."
        )
    patches = (size[0] // high) * (size[1] // wide)
    if shape[0] < patches or shape[1] != getattr(config, "hidden_size", None):
        raise ModelError(
            f"The vision tower {source} ('{kind}') gives {shape[0]} tokens of {shape[1]} numbers "
            f"at layer {layers}, where {patches} patches are expected; give another one, for "
            "example a CLIP, SigLIP or DINOv2."
        )
    return TowerTokens(shape[0] - patches, patches)


def pair(side: Any) -> tuple[Any, Any]:
    """Height and width of what a configuration says in one number or in two."""
    return tuple(side) if isinstance(side, list | tuple) else (side, side)


def _hidden_states(
    source: str, config: PreTrainedConfig, size: tuple[int, int]
) -> tuple[Tensor, ...]:
    try:
        with torch.device("meta"):
            reader: Any = AutoModel
            tower = reader.from_config(config).eval()
            pixels = torch.zeros(1, 3, *size)
            states: tuple[Tensor, ...] = tower(pixels, output_hidden_states=True).hidden_states
            return states
    except UNFIT as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ModelError(
            f"The vision tower of {source} ('{config.model_type}') cannot take the {size[1]} x "
            f"{size[0]} pixels that its picture processing makes of a picture ({reason}); give one "
            "whose config.json and preprocessor_config.json belong together, for example a CLIP, "
            "SigLIP or DINOv2."
        ) from error
