"""What a transformers image-text-to-text model is given: pictures and text as its processor wants.

The picture is processed once, however many questions are asked about it. What the processor makes
of a whole prompt is taken apart after the picture: the beginning belongs to the picture, the rest
is the question's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.chat import Turn, end_of, starts_itself, template_of, turn_of
from fedvlm_flwr.models.hf_vlm.families import Family
from fedvlm_flwr.models.hf_vlm.tensors import compact, concatenate, masked, padded
from fedvlm_flwr.models.prompts import PromptEncoder
from fedvlm_flwr.models.vlm import Encoded, Features, History

IDS, TYPES, TILES = "image_ids", "image_types", "image_tiles"
PROBE = "what is this?"  # any question, to see what the processor makes of a prompt


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

    def encode(
        self,
        question: str,
        answer: str | None = None,
        history: History = (),
        *,
        cut_answer: bool = False,
    ) -> Encoded:
        """Token ids of the prompt with one place for the picture, and of the answer with its end.

        Raises:
            DataError: the template and the answer alone are longer than `max_text_tokens`.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning.
        """
        return self.prompts.encode(self.turn, question, answer, history, cut_answer=cut_answer)

    def encode_image(self, image: Any, dtype: torch.dtype) -> Features:
        """The processor's tensors of a pillow picture, and the prompt's beginning with it in place.

        `image_ids` [T]: all tokens up to the end of the picture, since a tokenizer may join what
        stands before a picture with what the processor writes around it; `image_types` [T] and
        `image_tiles` [T, ...]: the family's `types` and `cross_mask` for them, where it has such;
        the family's `pictures` with the shapes that the processor gives them for one picture,
        floats as `dtype`.

        Raises:
            ModelError: the processor writes the question otherwise than the chat template does.
        """
        tensors = self.processor(
            text=[self._probe_text()],
            images=[image],
            return_tensors="pt",
            add_special_tokens=self._marks,
        )
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
            features: B images', as `encode_image` gives them.
            batch: B examples.
            answers: whether the answers are in the sequence (training), or only the prompts.

        Returns:
            `input_ids` and `attention_mask` [B, T], the family's `types` [B, T] and `cross_mask`
            [B, T, ...] where it has such, and its image tensors, one image after the other.
        """
        rows: list[list[int]] = []
        types: list[list[int]] = []
        for row, example in zip(features, batch, strict=True):
            tail = self.after_image(example)
            answer = example.answer_ids if answers else ()
            rows.append([*row[IDS].tolist(), *tail, *answer])
            if self.family.types is not None:
                prompt = [*row[TYPES].tolist(), *[0] * len(tail)]
                types.append([*prompt, *[self.family.answer_type] * len(answer)])
        left = not answers
        arguments = {
            "input_ids": padded(rows, self.pad_id, left=left),
            "attention_mask": padded([[1] * len(row) for row in rows], 0, left=left),
            **{name: concatenate([row[name] for row in features]) for name in self.family.pictures},
        }
        if self.family.types is not None:
            arguments[self.family.types] = padded(types, 0, left=left)
        if self.family.cross_mask is not None:
            masks, lengths = [row[TILES] for row in features], [len(row) for row in rows]
            arguments[self.family.cross_mask] = masked(masks, lengths, left=left)
        return arguments

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
