"""A merged LLaVA in transformers' own form: its class, its processor, its chat template."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoProcessor,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.images.reading import square
from fedvlm_flwr.models.llava.chat_template import PROBE, chat_template
from fedvlm_flwr.models.llava.connectors import STOCK, connector_of
from fedvlm_flwr.models.llava.model import Llava, layer_choice, register_tokens
from fedvlm_flwr.models.llava.params import depth

PROBES = ((40, 40), (64, 40), (33, 70))  # pixels of pictures that are tried
CLOSE = 1e-4  # between normalized pixels
STEPS = ("do_resize", "do_center_crop", "do_normalize")
SIZES = ("size", "resample", "crop_size")


def reason_against(vlm: Llava) -> str:
    """Why transformers' LLaVA cannot compute this one; empty: it can."""
    config: Any = vlm.module.config
    connector = connector_of(config)
    if depth(connector) > 2:
        return (
            f"transformers' LLaVA has a connector of two layers, and model.connector={connector} "
            f"has {depth(connector)} (linear and {STOCK} can be merged)"
        )
    if count := register_tokens(config):
        return (
            f"transformers' LLaVA drops one token before the patches, and the vision tower of this "
            f"one has {1 + count}"
        )
    if raised(vlm) is None:
        mean = three(vlm.processor.to_dict()["image_mean"])
        return f"no image_mean makes transformers' LLaVA pad pictures as {mean} does here"
    return ""


def save(vlm: Llava, folder: Path) -> None:
    """Write network, tokenizer, picture processing and prompt, and read the last three back.

    Raises:
        ModelError: what transformers reads makes another prompt or other pixels.
    """
    network = stock_network(vlm)
    config = network.generation_config
    config.do_sample, config.eos_token_id = False, vlm.end_id
    network.save_pretrained(folder)
    processor(vlm).save_pretrained(folder)
    require_same_inputs(vlm, folder)


def stock_network(vlm: Llava) -> Any:
    """The network as transformers' own class.

    A connector of one layer becomes one of two, of which the second changes nothing.
    """
    network: Any = vlm.module
    if connector_of(network.config) == STOCK:
        return network
    config = deepcopy(network.config)
    del config.connector
    config.projector_hidden_act, config.multimodal_projector_bias = "linear", True
    with torch.device("meta"):
        stock: Any = LlavaForConditionalGeneration(config)
    for name in ("vision_tower", "language_model"):
        setattr(stock.model, name, network.model.get_submodule(name))
    stock.lm_head, stock.generation_config = network.lm_head, network.generation_config
    projector, (layer,) = stock.model.multi_modal_projector, vlm.connector
    width = layer.out_features
    same = nn.Linear(width, width, device=layer.weight.device, dtype=layer.weight.dtype)
    with torch.no_grad():
        same.weight.copy_(torch.eye(width))
        same.bias.zero_()
    projector.linear_1, projector.linear_2 = layer, same
    return stock


def processor(vlm: Llava) -> Any:
    """Transformers' own processor with the prompt as its chat template."""
    own = vlm.processor.to_dict()
    factor = raised(vlm)
    assert factor is not None, "refused before"
    # LLaVA's own would crop where nothing is said, and SigLIP's processing says nothing.
    settings = {key: bool(own.get(key)) for key in STEPS}
    settings |= {key: own[key] for key in SIZES if own.get(key) is not None}
    mean, std = (
        [factor * value for value in three(own[key])] for key in ("image_mean", "image_std")
    )
    pictures: Any = LlavaImageProcessorPil
    result = pictures(
        **settings,
        do_pad=True,
        do_convert_rgb=True,
        do_rescale=True,
        rescale_factor=factor * own["rescale_factor"],
        image_mean=mean,
        image_std=std,
    )
    config: Any = vlm.module.config
    vision, (_, strategy) = config.vision_config, layer_choice(config)
    count = vlm.prompt_facts()["image_tokens"]
    side = result(Image.new("RGB", PROBES[0]), return_tensors="pt")["pixel_values"].shape[-1]
    more = count - (side // vision.patch_size) ** 2 + (strategy == "default")
    kind: Any = LlavaProcessor
    return kind(
        result,
        vlm.tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=strategy,
        image_token=vlm.image_token,
        num_additional_image_tokens=more,
        chat_template=chat_template(vlm),
    )


def raised(vlm: Llava) -> float | None:
    """What to multiply mean, deviation and scale with so that margins get the colour they have.

    Transformers makes that colour of the mean by cutting decimals off, and here it is rounded;
    multiplied by one factor all three normalize pixels as before. None: no factor does.
    """
    mean = [255 * value for value in three(vlm.processor.to_dict()["image_mean"])]
    low = max((color / m for color, m in zip(vlm.margin, mean, strict=True) if m), default=1.0)
    high = min(((color + 1) / m for color, m in zip(vlm.margin, mean, strict=True) if m), default=2)
    if low <= 1 < high:
        return 1.0
    return (low + high) / 2 if low < high else None


def three(values: float | Sequence[float]) -> list[float]:
    """One value for each colour."""
    return [values] * 3 if isinstance(values, int | float) else list(values)


def require_same_inputs(vlm: Llava, folder: Path) -> None:
    """Refuse what transformers would ask or see otherwise.

    Raises:
        ModelError: ids of a question or pixels of a picture differ.
    """
    reader: Any = AutoProcessor
    plain = reader.from_pretrained(folder, backend="pil")
    (ids,) = prompt_ids(plain, [{"type": "image"}, {"type": "text", "text": PROBE}])
    count = vlm.prompt_facts()["image_tokens"]
    own = [
        token
        for one in vlm.encode(PROBE).prompt_ids
        for token in ([one] * count if one == vlm.image_id else [one])
    ]
    if ids != own:
        raise ModelError(
            "The processor that transformers reads back asks a question in other tokens; export "
            "without --merge."
        )
    for size in PROBES:
        picture = striped(size)
        theirs: Tensor = plain.image_processor(picture, return_tensors="pt")["pixel_values"]
        padded = square(picture, vlm.margin)
        ours: Tensor = vlm.processor(padded, return_tensors="pt")["pixel_values"]
        if theirs.shape != ours.shape or float((theirs - ours).abs().max()) > CLOSE:
            raise ModelError(
                f"The processor that transformers reads back makes other pixels of a picture of "
                f"{size[0]} x {size[1]}; export without --merge."
            )


def prompt_ids(plain: Any, content: list[dict[str, str]]) -> list[list[int]]:
    """Ids of a question about a blank picture, by a processor of transformers."""
    text = plain.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    bos = plain.tokenizer.bos_token
    inputs = plain(
        text=[text],
        images=[Image.new("RGB", PROBES[0])],
        add_special_tokens=not (bos and text.startswith(bos)),
    )
    ids: list[list[int]] = inputs["input_ids"]
    return ids


def striped(size: tuple[int, int]) -> Image.Image:
    """A picture whose pixels all differ."""
    width, height = size
    picture = Image.new("RGB", size)
    picture.putdata(
        [(3 * x % 256, 5 * y % 256, 7 * (x + y) % 256) for y in range(height) for x in range(width)]
    )
    return picture
