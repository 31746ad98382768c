"""What a transformers image-text-to-text model is given: pictures and text as its processor wants.

The picture is processed once, however many questions are asked about it. What the processor makes
of a whole prompt is taken apart after the picture: the beginning belongs to the picture, the rest
is the question's.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.chat import (
    PlacedTurn,
    Turn,
    end_of,
    pictures_in,
    starts_itself,
    template_of,
    turn_of,
)
from fedvlm_flwr.models.hf_vlm.families import Family
from fedvlm_flwr.models.hf_vlm.tensors import compact, concatenate, masked, padded
from fedvlm_flwr.models.prompts import PromptEncoder
from fedvlm_flwr.models.vlm import ONE_PICTURE, Encoded, Features, History

IDS, TYPES, TILES = "image_ids", "image_types", "image_tiles"
INNER, INNER_TYPES = "inner_ids", "inner_types"
PROBE = "what is this?"  # any question, to see what the processor makes of a prompt
PROBES = (f"{PLACE}\n{PLACE}\n{PROBE}", f"look:\n{PLACE}\nand\n{PLACE}\n{PROBE}")
BLANK = (64, 64)  # pixels of a picture that is tried
REPLACED = "text_replacement_offsets"  # transformers' name for what stands where in a prompt


class HfInputs:
    """Prompts, pictures and batches for one model.

    Args:
        processor: the model's own, see `read_processor`.
        family: the row of its family.
        max_text_tokens: see `PromptEncoder`.
        source: the checkpoint, for messages.

    Attributes:
        turn: what stands around a question and its answer.
        end_id: the token that an answer is taught to end with.
        pad_id: what rows are filled up with.
        prompts: text to ids.
        pictures: how many an example may show.

    Raises:
        ModelError: the checkpoint has no chat template and its family wants one, or nothing ends
            an answer.
    """

    def __init__(self, processor: Any, family: Family, max_text_tokens: int, source: str) -> None:
        self.processor = processor
        self.family = family
        self.tokenizer: PreTrainedTokenizerBase = processor.tokenizer
        self.place: str = processor.image_token
        self.turn = self._turn(source)
        self.end_id = end_of(self.turn, self.tokenizer, source)
        pad: Any = self.tokenizer.pad_token_id
        self.pad_id: int = self.end_id if pad is None else pad
        # As transformers does: a template that writes the first token itself gets no second one.
        self._marks = not starts_itself(self.turn, self.tokenizer)
        self._place_id: int = self.tokenizer.get_vocab()[self.place]
        self.prompts = PromptEncoder(
            self.tokenizer, self.end_id, max_text_tokens, (self.place,), marks=self._marks
        )
        self.places_wording = PlacedTurn(self.turn, self.place)
        self.pictures = ONE_PICTURE if family.one else self._pictures()

    @property
    def identity(self) -> str:
        """What decides `image_ids` beside picture and template: tokenizer, processor's settings."""
        tokenizer: Any = self.tokenizer
        plain = {k: v for k, v in vars(self.processor).items() if isinstance(v, int | float | str)}
        return f"{tokenizer.backend_tokenizer.to_str()} {sorted(plain.items())}"

    def encode(
        self,
        question: str,
        answer: str | None = None,
        history: History = (),
        *,
        cut_answer: bool = False,
        pictures: int = 1,
    ) -> Encoded:
        """Token ids of the prompt with a place for each picture, and of the answer with its end.

        Raises:
            DataError: the template and the answer alone are longer than `max_text_tokens`.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning.
        """
        wording = self.turn if pictures == 1 else self.places_wording
        return self.prompts.encode(
            wording, question, answer, history, cut_answer=cut_answer, pictures=pictures
        )

    def encode_image(self, image: Any, dtype: torch.dtype) -> Features:
        """The processor's tensors of a pillow picture, and the prompt's beginning with it in place.

        `image_ids` [T]: all tokens up to the end of the picture, since a tokenizer may join what
        stands before a picture with what the processor writes around it; `image_types` [T] and
        `image_tiles` [T, ...]: the family's `types` and `cross_mask` for them, where it has such;
        `inner_ids` and `inner_types`: the same of the picture alone, between two texts; the
        family's `pictures` with the shapes that the processor gives them for one picture,
        floats as `dtype`.

        Raises:
            ModelError: the processor writes the question otherwise than the chat template does.
        """
        tensors = self._processed(self._probe_text(), [image])
        ids: list[int] = tensors["input_ids"][0].tolist()
        tail = self.after_image(self.encode(PROBE))
        count = len(ids) - len(tail)
        if count <= 0 or tuple(ids[count:]) != tail:
            raise ModelError(
                f"The {type(self.processor).__name__} writes the question after a picture not as "
                "the chat template does; use a checkpoint whose files belong together."
            )
        row = {IDS: torch.tensor(ids[:count])}
        if self.family.types is not None:
            row[TYPES] = tensors[self.family.types][0, :count].clone()
        if self.family.cross_mask is not None:
            row[TILES] = torch.as_tensor(tensors[self.family.cross_mask])[0, :count].clone()
        if REPLACED in tensors:
            inner = self.prompts.plain_ids(tensors[REPLACED][0][0]["replacement"].strip())
            row[INNER] = torch.tensor(inner)
            if self.family.types is not None:
                type_of = dict(zip(ids, row[TYPES].tolist(), strict=False))
                row[INNER_TYPES] = torch.tensor([type_of[token] for token in inner])
        for name in self.family.pictures:
            row[name] = compact(name, torch.as_tensor(tensors[name]), dtype)
        return row

    def after_image(self, example: Encoded) -> tuple[int, ...]:
        """A prompt's ids behind its picture.

        Raises:
            ModelError: the prompt holds no picture or several.
        """
        places = [i for i, token in enumerate(example.prompt_ids) if token == self._place_id]
        if len(places) != 1:
            raise ModelError(
                f"A prompt holds {self.place} {len(places)} times instead of once; use a "
                "checkpoint whose chat template writes it once for a picture."
            )
        return example.prompt_ids[places[0] + 1 :]

    def batch(
        self, features: Sequence[Features], batch: Sequence[Encoded], *, answers: bool
    ) -> dict[str, Tensor]:
        """The network's arguments: padded on the right with answers, on the left without.

        Args:
            features: of the images of all examples, as `encode_image` gives them.
            batch: B examples.
            answers: whether the answers are in the sequence (training), or only the prompts.

        Returns:
            `input_ids` and `attention_mask` [B, T], the family's `types` [B, T] and `cross_mask`
            [B, T, ...] where it has such, and its image tensors, one image after the other, where
            there is an image.
        """
        rows: list[list[int]] = []
        types: list[list[int]] = []
        for (ids, own_types), example in zip(self.prompted(features, batch), batch, strict=True):
            answer = example.answer_ids if answers else ()
            rows.append([*ids, *answer])
            types.append([*own_types, *[self.family.answer_type] * len(answer)])
        left = not answers
        arguments = {
            "input_ids": padded(rows, self.pad_id, left=left),
            "attention_mask": padded([[1] * len(row) for row in rows], 0, left=left),
        }
        for name in self.family.pictures if features else ():
            if name not in features[0]:  # the tower's output is there instead
                continue
            arguments[name] = concatenate([row[name] for row in features])
        if self.family.types is not None:
            arguments[self.family.types] = padded(types, 0, left=left)
        if self.family.cross_mask is not None:
            masks, lengths = [row[TILES] for row in features], [len(row) for row in rows]
            arguments[self.family.cross_mask] = masked(masks, lengths, left=left)
        return arguments

    def prompted(
        self, features: Sequence[Features], batch: Sequence[Encoded]
    ) -> Iterator[tuple[list[int], list[int]]]:
        """The token ids of each prompt with its images in place, and their types.

        Types are 0 of all where the family has none.

        Raises:
            ModelError: a prompt holds another number of places than its example shows images.
        """
        images = iter(features)
        for example in batch:
            own = [next(images) for _ in range(example.pictures)]
            if example.pictures == 1:
                tail = self.after_image(example)
                ids = own[0][IDS].tolist()
                types = own[0][TYPES].tolist() if TYPES in own[0] else [0] * len(ids)
                yield [*ids, *tail], [*types, *[0] * len(tail)]
            else:
                yield self._with_images(example, own)

    def _with_images(
        self, example: Encoded, images: Sequence[Features]
    ) -> tuple[list[int], list[int]]:
        places = example.prompt_ids.count(self._place_id)
        if places != len(images):
            raise ModelError(f"A prompt holds {places} places for {len(images)} pictures.")
        ids: list[int] = []
        types: list[int] = []
        left = iter(images)
        for token in example.prompt_ids:
            if token != self._place_id:
                ids.append(token)
                types.append(0)
                continue
            image = next(left)
            inner = image[INNER].tolist()
            ids += inner
            types += image[INNER_TYPES].tolist() if INNER_TYPES in image else [0] * len(inner)
        return ids, types

    def _pictures(self) -> range:
        """How many pictures are written here as the processor itself writes them, by trying.

        LLaVA-OneVision makes other pixels and tokens of a picture among others: one at most.
        """
        image = Image.new("RGB", BLANK)
        alone = self._processed(self._probe_text(), [image])
        written = alone[REPLACED][0][0]["replacement"]
        before, _, after = written.partition(written.strip())
        self.places_wording = PlacedTurn(self.turn, self.place, (before, after))
        pictures = pictures_in(self.places_wording)
        features = [self.encode_image(image, torch.float32)] * 2
        for probe in PROBES if len(pictures) > 2 else ():
            text = PlacedTurn(self.turn, self.place).prompt(probe)
            tensors = self._processed(text, [[image, image]])
            own, _ = self._with_images(self.encode(probe, pictures=2), features)
            if own != tensors["input_ids"][0].tolist():
                return range(pictures[0], 2)
        return pictures

    def _processed(self, text: str, images: Sequence[Any]) -> Any:
        """What the processor makes of a prompt, with what it wrote in place of each picture."""
        more = {} if self.family.one else {f"return_{REPLACED}": True}
        return self.processor(
            text=[text],
            images=images,
            return_tensors="pt",
            add_special_tokens=self._marks,
            **more,
        )

    def _turn(self, source: str) -> Turn:
        if self.family.plain is not None:
            bos = self.tokenizer.bos_token
            before, after = (text.format(image=self.place, bos=bos) for text in self.family.plain)
            return Turn(before, after)
        template = template_of(self.processor, self.tokenizer)
        if template is None:
            raise ModelError(
                f"{source} has no chat template; use an instruction-tuned checkpoint, or put a "
                "chat_template.jinja into its folder."
            )
        return turn_of(self.tokenizer, template, source)

    def _probe_text(self) -> str:
        """The probing prompt as the processor takes it."""
        if self.family.handed is None:
            return self.turn.prompt(PROBE)
        before, after = self.family.handed
        return f"{before.format(image=self.place)}{PROBE}{after}"
