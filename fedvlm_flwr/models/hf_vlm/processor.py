"""A checkpoint's own processor, for pictures and text only."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import transformers
from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import (
    MllamaImageProcessorPil,
    get_image_size_fit_to_canvas,
    get_optimal_tiled_canvas,
)

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.images.frame import WHOLE, Frame, Size, cropped, padded, shares
from fedvlm_flwr.models.hf_vlm.families import Family
from fedvlm_flwr.models.hf_vlm.pixtral import PixtralProcessor
from fedvlm_flwr.models.patches import picture_size, tower_tokens

ABSENT = ("video_processor", "feature_extractor")  # videos and sounds
PATCH, MORE = "patch_size", "num_additional_image_tokens"
STRATEGY = "vision_feature_select_strategy"
OWN = {"PixtralProcessor": PixtralProcessor}  # in place of transformers' class
TWINS = {"SmolVLMProcessor": "Idefics3Processor"}  # read as another class, see `FAMILIES`


def read_processor(
    source: str, where: str, family: Family, config: Any, local_files_only: bool
) -> Any:
    """The family's processor without its parts for videos and sounds.

    `AutoProcessor` would want torchvision for videos, and take it for pictures where it is
    installed: two sites would then see one picture in different pixels. Here pillow resizes them
    everywhere.

    Args:
        source: the checkpoint as the user named it.
        where: what transformers' `from_pretrained` takes for it.
        family: the checkpoint's family.
        config: the network's configuration.
        local_files_only: fetch nothing.

    Raises:
        ModelError: the checkpoint is made for a processor of another kind, or its processor counts
            a picture's tokens otherwise than its network.
    """
    base = OWN.get(family.processor) or getattr(transformers, family.processor)
    settings, _ = base.get_processor_dict(where, local_files_only=local_files_only)
    class_name = settings.get("processor_class", family.processor)
    if TWINS.get(class_name, class_name) != family.processor:
        raise ModelError(
            f"{source} brings a {class_name}, but checkpoints of its family are used with a "
            f"{family.processor}; choose one that is."
        )
    tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=local_files_only)
    reader: Any = AutoImageProcessor
    pictures = reader.from_pretrained(where, backend="pil", local_files_only=local_files_only)
    if counts_patches(base):
        settings = settings | patch_settings(source, settings, config, pictures)
    pieces = {"tokenizer": tokenizer, "image_processor": pictures, **dict.fromkeys(ABSENT)}
    kind = pictures_only(base)
    return kind.from_args_and_dict(
        [pieces[class_name] for class_name in kind.get_attributes()], settings
    )


def counts_patches(base: Any) -> bool:
    """Whether a processor is told how many tokens a vision tower makes, as LLaVA's are."""
    return "num_additional_image_tokens" in signature(base.__init__).parameters


def patch_settings(
    source: str, settings: Mapping[str, Any], config: Any, pictures: Any
) -> dict[str, Any]:
    """What older tools did not save of how many tokens a picture takes, told by the vision tower.

    Args:
        source: the checkpoint, for messages.
        settings: the processor's, as saved.
        config: the network's.
        pictures: the picture processing.

    Returns:
        `patch_size`, `num_additional_image_tokens` and `vision_feature_select_strategy`.

    Raises:
        ModelError: the tower does not take its pictures, or what was saved contradicts it.
    """
    vision, strategy = config.vision_config, config.vision_feature_select_strategy
    size = picture_size(source, pictures)
    tokens = tower_tokens(source, vision, size, config.vision_feature_layer)
    derived = {
        PATCH: vision.patch_size,
        MORE: tokens.before,
        STRATEGY: strategy,
    }
    whole = {key: derived[key] if settings.get(key) is None else settings[key] for key in derived}
    theirs, beside = (row[MORE] - (row[STRATEGY] == "default") for row in (whole, derived))
    if whole[PATCH] != derived[PATCH] or theirs != beside:
        raise ModelError(
            f"The processor of {source} counts a picture's tokens by {PATCH}={whole[PATCH]}, "
            f"{MORE}={whole[MORE]} and {STRATEGY}={whole[STRATEGY]}, but its vision tower makes "
            f"{tokens.patches + beside} of a picture; write {PATCH}={derived[PATCH]}, {MORE}="
            f"{derived[MORE]} and {STRATEGY}={strategy} into its processor_config.json."
        )
    return whole


def pictures_only(base: Any) -> Any:
    """The same processor, content with `None` in place of what it has for videos and sounds."""

    def check(self: Any, name: str, argument: object) -> Any:
        if name in ABSENT and argument is None:
            return None
        return base.check_argument_for_proper_class(self, name, argument)

    return type(base.__name__, (base,), {"check_argument_for_proper_class": check})


def frame_through(processing: Any, size: Size) -> Frame:
    """What a family's picture processing shows of a picture of this size.

    Most families show all of it in its own fractions: stretched to a square (PaliGemma, Gemma 3) or
    to the next multiple of their patches (Qwen), in tiles beside the stretched whole (LLaVA-NeXT,
    LLaVA-OneVision, Idefics3, SmolVLM, InternVL). LLaVA's own processing crops to the middle or,
    where `do_pad` is set, pads. Llama 3.2 Vision pads, see `tiled`.

    Raises:
        ModelError: it crops what it has not brought to one size.
    """
    if hasattr(processing, "image_grid_pinpoints"):  # its crop is of tiles, which it leaves whole
        return WHOLE
    if isinstance(processing, MllamaImageProcessorPil):
        return tiled(processing, size)
    pads = isinstance(processing, LlavaImageProcessorPil) and processing.do_pad
    crops = getattr(processing, "do_center_crop", False) and processing.size.shortest_edge
    frame = padded(size) if pads else cropped(size) if crops else WHOLE
    return frame.middle(*shares(processing))


def tiled(processing: Any, size: Size) -> Frame:
    """A picture in the upper left of the tiles that take it without stretching it."""
    width, height = size
    side, most = processing.size.height, processing.max_image_tiles
    down, across = get_optimal_tiled_canvas(height, width, most, side)
    shown_down, shown_across = get_image_size_fit_to_canvas(height, width, down, across, side)
    return Frame(0, 0, float(across / shown_across), float(down / shown_down))
