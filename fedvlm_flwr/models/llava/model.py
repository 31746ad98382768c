"""Vision-language models of the LLaVA form: vision tower, connector, language model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.images.frame import Frame, padded, shares
from fedvlm_flwr.images.reading import READING, Color, image_size_of, open_image
from fedvlm_flwr.models.chat import PlacedTurn, Turn, end_of, pictures_in, starts_itself
from fedvlm_flwr.models.decoding import Prompt, cached_start, can_share_start, greedy
from fedvlm_flwr.models.features import fingerprint
from fedvlm_flwr.models.llava.language_model import FamilyHead
from fedvlm_flwr.models.llava.same_pictures import common_start, distinct_pictures
from fedvlm_flwr.models.packing import answer_states
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.prompts import QUESTION, PlacedTemplate, PromptEncoder, Template
from fedvlm_flwr.models.transfer import to_device
from fedvlm_flwr.models.vlm import VLM, Encoded, Features, History, base_of

IMAGE = "<image>"
IMAGES_AT_ONCE = 64  # bounds the memory of the vision tower's activations
PARTS_OF = {
    "vision": "model.vision_tower",
    "connector": "model.multi_modal_projector",
    "llm": "model.language_model",
}


class Llava(VLM):
    """A `LlavaForConditionalGeneration` of any size behind the interface of every model here.

    Args:
        module: the network; its vision tower and language model are transformers' own.
        tokenizer: knows the image token. The token needs no row in the embedding table: its places
            are filled with the connector's output and never looked up.
        processor: makes `pixel_values` of pictures.
        template: the prompt around `{question}`, with one `<image>`; or what the tokenizer's chat
            template writes, with the image token in it.
        max_text_tokens: see `PromptEncoder`.
        image_token: what stands for a picture in the tokenizer; `<image>` in the template is
            replaced by it.
        follow_up: what stands around a further question, see `Template`; a chat template says it
            itself.

    Raises:
        ConfigError: the template lacks `{question}` or does not hold exactly one `<image>`, or the
            tokenizer does not know the image token.
        ModelError: the processor has no mean color, or crops what it has not resized.
    """

    def __init__(  # noqa: PLR0913  # the checkpoint's three parts and the prompt's four facts
        self,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        processor: BaseImageProcessor,
        template: str | Turn,
        max_text_tokens: int,
        image_token: str = IMAGE,
        follow_up: str | None = None,
    ) -> None:
        if isinstance(template, str) and template.count(IMAGE) != 1:
            raise ConfigError(f"The prompt template {template!r} must hold {IMAGE} once.")
        if follow_up is not None and IMAGE in follow_up:
            raise ConfigError(
                f"model.follow_up={follow_up!r} holds {IMAGE}, and the picture stands in the first "
                "turn; take it out."
            )
        if image_token not in tokenizer.get_vocab():
            raise ConfigError(
                f"The tokenizer does not know model.image_token='{image_token}'; name one of its "
                "tokens."
            )
        self.module = module
        self.tokenizer = tokenizer
        self.processor = processor
        self.wording = (
            Template(template.replace(IMAGE, image_token), follow_up)
            if isinstance(template, str)
            else template
        )
        self.places_wording = placed_wording(template, follow_up, image_token)
        self.pictures = pictures_in(self.places_wording)
        self.parts = PARTS_OF
        self.base = base_of(module)
        self.lora_targets = linear_names(self.llm)
        choice = [*layer_choice(module.config), READING, "padded"]
        if registers := register_tokens(module.config):
            choice.append(registers)
        self.fingerprint = fingerprint(self.vision, choice, processor)
        self.margin = mean_color(processor)
        self._shares = shares(processor)
        self.device = next(module.parameters()).device
        self.image_token = image_token
        self.image_id = tokenizer.get_vocab()[image_token]
        self.end_id = end_of(self.wording, tokenizer, tokenizer.name_or_path)
        text: Any = module.config
        self.logits = FamilyHead(text.text_config, self.head, added_tokens(module.config))
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._prompts = PromptEncoder(
            tokenizer,
            self.end_id,
            max_text_tokens,
            (image_token,),
            marks=not starts_itself(self.wording, tokenizer),
        )

    @property
    def vision(self) -> Any:
        """The vision tower."""
        return self.module.get_submodule(self.parts["vision"])

    @property
    def connector(self) -> Any:
        """Vision width to LLM width."""
        return self.module.get_submodule(self.parts["connector"])

    @property
    def llm(self) -> Any:
        """The language model without its head."""
        return self.module.get_submodule(self.parts["llm"])

    @property
    def head(self) -> nn.Module:
        """The last layer, hidden width to vocabulary; `logits` is what the family makes of it."""
        return self.module.get_submodule("lm_head")

    @torch.no_grad()
    def features(self, images: Sequence[Path]) -> list[Features]:
        """`tokens`: the vision tower's hidden layer `vision_feature_layer`, [patches, width].

        What stands before the patches is dropped where the configuration says so (strategy
        "default").

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        rows: list[Features] = []
        for start in range(0, len(images), IMAGES_AT_ONCE):
            tokens = self.encode_pixels(self.pixels(images[start : start + IMAGES_AT_ONCE]))
            rows.extend({"tokens": row} for row in tokens)
        return rows

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """Pictures padded to squares, resized and normalized, [N, 3, height, width], on `device`.

        Nothing of a picture is lost: it lies in the middle of a square of the mean color, which
        becomes 0. Only a processor that crops squares too (DINOv2's) cuts their margins off.
        """
        return torch.cat([self._pixels(path) for path in images]).to(self.device)

    def _pixels(self, image: Path) -> Tensor:
        # One at a time: photographs are a hundred times larger than what is made of them.
        picture = open_image(image, self.margin)
        values: Tensor = self.processor(picture, return_tensors="pt")["pixel_values"]
        return values

    def frame(self, image: Path) -> Frame:
        """The square around the picture.

        Raises:
            DataError: the picture's header cannot be read; names its path.
        """
        return padded(image_size_of(image)).middle(*self._shares)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """The vision tower's chosen layers side by side, with gradient.

        Args:
            pixels: [N, 3, height, width].

        Returns:
            [N, patches, layers * width], the class token (and registers) first where they are kept.
        """
        layers, strategy = layer_choice(self.module.config)
        states = self.vision(pixels.to(self.vision.dtype), output_hidden_states=True).hidden_states
        selection = [states[i] for i in ([layers] if isinstance(layers, int) else layers)]
        first = 1 + register_tokens(self.module.config) if strategy == "default" else 0
        return torch.cat([state[:, first:] for state in selection], dim=-1)

    @property
    def truncated_questions(self) -> int:
        """Distinct questions that were cut, or lost turns before them, so far."""
        return self._prompts.cut

    def encode(
        self,
        question: str,
        answer: str | None = None,
        history: History = (),
        *,
        cut_answer: bool = False,
        pictures: int = 1,
    ) -> Encoded:
        """Token ids of the prompt around `question`, and of the answer with its end token.

        Raises:
            DataError: template and answer alone are longer than `max_text_tokens`.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning, or the
                chat template has no form for so many pictures.
        """
        self.require_pictures(pictures)
        wording = self.wording if pictures == 1 else self.places_wording
        return self._prompts.encode(
            wording, question, answer, history, cut_answer=cut_answer, pictures=pictures
        )

    def answer_length(self, answer: str) -> int:
        """See `VLM.answer_length`."""
        return self._prompts.length(answer)

    def encode_text(self, words: str, question: str, answer: str | None = None) -> Encoded:
        """As `encode`, with `words` standing where the picture would: a text-only example."""
        wording = Template(self.wording.prompt(QUESTION).replace(self.image_token, words))
        return self._prompts.encode(wording, question, answer)

    def prompt_facts(self) -> dict[str, Any]:
        """The prompt, how often the image token stands in it, and how a picture gets there.

        `add_special_tokens`: whether the tokenizer begins the text; `end_id`: what ends an answer;
        `margin`: the color that pads a picture to a square; `registers`: how many tokens more than
        transformers drops are dropped before the connector.
        """
        pixels = self.processor(Image.new("RGB", (1, 1), self.margin), return_tensors="pt")
        with torch.no_grad():
            tokens = self.encode_pixels(pixels["pixel_values"].to(self.device))
        return {
            "template": self.wording.prompt(QUESTION),
            "add_special_tokens": not starts_itself(self.wording, self.tokenizer),
            "end_id": self.end_id,
            "image_token": self.image_token,
            "image_tokens": tokens.shape[1],
            "margin": list(self.margin),
            "registers": register_tokens(self.module.config),
        }

    def connect(self, tokens: Tensor) -> Tensor:
        """The connector's image tokens, [B, tokens, LLM width], of [B, tokens, vision width]."""
        weight = next(self.connector.parameters())
        image: Tensor = self.connector(tokens.to(weight.device, weight.dtype))
        return image

    def _image(self, features: Sequence[Features]) -> Tensor:
        if not features:  # nothing but text
            return torch.zeros(0, 1, 1, device=self.device)
        tokens = torch.stack([row["tokens"] for row in features])
        return self.connect(to_device(tokens, self.device))

    def loss(self, features: Sequence[Features], batch: Sequence[Encoded]) -> Tensor:
        """Mean cross-entropy over the answer tokens of a batch (scalar, with gradient)."""
        return self.answer_loss(self._image(features), batch).mean()

    def answer_loss(self, image: Tensor, batch: Sequence[Encoded]) -> Tensor:
        """Cross-entropy of each answer token, [answer tokens], row after row.

        Args:
            image: [pictures, tokens, LLM width], for the rows that hold `<image>`, in their order;
                rows without it are text only.
            batch: examples with answers.
        """
        rows = [(*row.prompt_ids, *row.answer_ids) for row in batch]
        embeds, _ = self.assemble(image, rows, left=False)
        growth = image.shape[1] - 1  # one placeholder becomes this many tokens more
        lengths = [len(row) + growth * row.count(self.image_id) for row in rows]
        answers = [len(row.answer_ids) for row in batch]
        # Causal attention never looks to the right, so right padding needs no mask.
        labeled = answer_states(self.llm, embeds, lengths, answers)
        logits = self.logits(labeled).float()  # [answer tokens, vocabulary]
        targets = torch.tensor([token for row in batch for token in row.answer_ids])
        return F.cross_entropy(logits, to_device(targets, logits.device), reduction="none")

    @torch.no_grad()
    def generate(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; labels in `batch`, if any, are not read.

        What stands before the questions is computed once for those on the same picture.
        """
        rows: list[Sequence[int]] = [row.prompt_ids for row in batch]
        cache, mask = None, torch.ones(len(rows), 0, dtype=torch.bool, device=self.device)
        pictures, owners = distinct_pictures(features)
        start = common_start(rows, self.image_id, len(pictures))
        if start and can_share_start(self.llm):
            shared = [rows[0][:start]] * len(pictures)
            before, own = self.assemble(self._image(pictures), shared, left=True)
            numbers = to_device(torch.tensor(owners), self.device)
            cache, mask = cached_start(self.llm, before, numbers), own[numbers]
            features, rows = [], [row[start:] for row in rows]
        embeds, own = self.assemble(self._image(features), rows, left=True)
        prompt = Prompt(embeds, torch.cat([mask, own], dim=1), cache=cache)
        answers = greedy(self.llm, self.logits, prompt, self.end_id, max_new_tokens)
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def assemble(
        self, image: Tensor, rows: Sequence[Sequence[int]], *, left: bool
    ) -> tuple[Tensor, Tensor]:
        """Input embeddings with every `<image>` replaced by its picture's tokens.

        Args:
            image: [pictures, tokens, D]; picture k belongs to the k-th `<image>` of the rows.
            rows: token ids of each row.
            left: pad on the left (generation) or the right (training).

        Returns:
            Embeddings [B, T, D] and the mask of real tokens [B, T].

        Raises:
            ModelError: the rows hold another number of `<image>` than there are pictures.
        """
        count = image.shape[1]
        slots = sum(list(row).count(self.image_id) for row in rows)
        if slots != len(image):
            raise ModelError(f"{slots} {IMAGE} places in the prompts but {len(image)} pictures.")
        expanded = [
            [t for token in row for t in ([-1] * count if token == self.image_id else [token])]
            for row in rows
        ]
        longest = max(map(len, expanded))
        pads = [[-2] * (longest - len(row)) for row in expanded]
        filled = torch.tensor(
            [pad + row if left else row + pad for pad, row in zip(pads, expanded, strict=True)]
        )
        ids = to_device(filled, image.device)
        embeds = self.llm.get_input_embeddings()(ids.clamp(min=0))  # [B, T, D]
        if len(image):
            # Places are told by the CPU: what a mask selects is counted, for which it would wait.
            places = to_device(torch.from_numpy(np.flatnonzero(filled.numpy() == -1)), image.device)
            tokens = image.to(embeds.dtype).flatten(0, 1)
            embeds = embeds.flatten(0, 1).index_copy(0, places, tokens).view_as(embeds)
        return embeds, ids != -2


def placed_wording(
    template: str | Turn, follow_up: str | None, image_token: str
) -> PlacedTemplate | PlacedTurn:
    """What stands around questions with several pictures, or none."""
    if isinstance(template, str):
        return PlacedTemplate.of(template, follow_up, image_token)
    return PlacedTurn(template, image_token)


def layer_choice(config: Any) -> tuple[int | list[int], str]:
    """Which hidden layers of the vision tower are used, and with the class token or without."""
    return config.vision_feature_layer, str(config.vision_feature_select_strategy)


def register_tokens(config: Any) -> int:
    """How many tokens beside the first stand before the patches and are dropped with it."""
    return int(getattr(config, "register_tokens", 0))


def added_tokens(config: Any) -> range:
    """Ids of the rows that an assembled model's table has beyond its language model's."""
    rows = config.text_config.vocab_size
    return range(rows - getattr(config, "added_rows", 0), rows)


def mean_color(processor: Any) -> Color:
    """The color that normalization brings to 0, in 8 bits.

    Raises:
        ModelError: the processor does not say it.
    """
    mean = processor.image_mean
    values = [mean] * 3 if isinstance(mean, float | int) else list(mean or ())
    if len(values) != 3:
        raise ModelError(
            f"The picture processing's image_mean is {mean}, with which pictures cannot be padded; "
            "write the mean of red, green and blue into its preprocessor_config.json."
        )
    red, green, blue = values
    return round(255 * red), round(255 * green), round(255 * blue)
