"""Encoder-free vision-language models of the Show-o form (Xie et al. 2024, arXiv 2408.12528).

A picture becomes codes of a frozen image tokenizer, and the codes are words of the language model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.images.frame import Frame, cropped
from fedvlm_flwr.images.reading import READING, image_size_of, open_image
from fedvlm_flwr.models.decoding import Prompt, greedy
from fedvlm_flwr.models.features import fingerprint
from fedvlm_flwr.models.packing import answer_states
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.prompts import PromptEncoder, Template
from fedvlm_flwr.models.showo.magvit import MagvitTokenizer
from fedvlm_flwr.models.showo.mask import for_attention, visible
from fedvlm_flwr.models.showo.network import (
    PARTS_OF,
    ROOT,
    ShowoNetwork,
    Vocabulary,
    image_processor,
)
from fedvlm_flwr.models.transfer import to_device
from fedvlm_flwr.models.vlm import VLM, Encoded, Features, History, base_of

PIXELS_AT_ONCE = 8 * 256 * 256  # bounds the memory of the image tokenizer's activations


class Showo(VLM):
    """A Show-o of any size behind the interface of every model here.

    Args:
        module: the network.
        tokenizer: of text; the marks and codes come after its words and are not known to it.
        resolution: pixels a side of the pictures.
        template: the prompt around `{question}`, after the picture.
        max_text_tokens: see `PromptEncoder`.
        follow_up: what stands around a further question, see `Template`.

    Raises:
        ConfigError: the template does not hold `{question}` once.
        ModelError: the tokenizer is a slow one.
    """

    module: ShowoNetwork

    def __init__(
        self,
        module: ShowoNetwork,
        tokenizer: PreTrainedTokenizerBase,
        resolution: int,
        template: str,
        max_text_tokens: int,
        follow_up: str | None = None,
    ) -> None:
        self.module = module
        self.tokenizer = tokenizer
        self.processor = image_processor(resolution)
        self.wording = Template(template, follow_up)
        self.vocabulary = Vocabulary(len(tokenizer), module.image_tokenizer.sizes.codes)
        self.parts = PARTS_OF
        self.root = ROOT
        self.base = base_of(module.showo)
        self.lora_targets = linear_names(self.llm)
        self.fingerprint = fingerprint(module.image_tokenizer, ["codes", READING], self.processor)
        self.device = next(module.parameters()).device
        self.end_id: int = tokenizer.eos_token_id
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._prompts = PromptEncoder(tokenizer, self.end_id, max_text_tokens)
        self._at_once = max(1, PIXELS_AT_ONCE // resolution**2)

    @property
    def vision(self) -> MagvitTokenizer:
        """The image tokenizer."""
        return self.module.image_tokenizer

    @property
    def llm(self) -> Any:
        """The language model without its head."""
        return self.module.showo.model

    @property
    def head(self) -> nn.Module:
        """Hidden states to logits."""
        return self.module.get_submodule("showo.lm_head")

    def features(self, images: Sequence[Path]) -> list[Features]:
        """`ids`: the picture's codes, int64 [tokens], row after row.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        rows: list[Features] = []
        for start in range(0, len(images), self._at_once):
            codes = self.vision.encode(self.pixels(images[start : start + self._at_once]))
            rows.extend({"ids": row} for row in codes)
        return rows

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """The middle squares of pictures in -1..1, [N, 3, resolution, resolution], on `device`."""
        return torch.cat([self._pixels(path) for path in images]).to(self.device)

    def _pixels(self, image: Path) -> Tensor:
        # One at a time: photographs are a hundred times larger than what is made of them.
        values: Tensor = self.processor(open_image(image), return_tensors="pt")["pixel_values"]
        return values

    def frame(self, image: Path) -> Frame:
        """The middle square of the picture.

        Raises:
            DataError: the picture's header cannot be read; names its path.
        """
        return cropped(image_size_of(image))

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

        The picture's place is before them and is not among them.

        Raises:
            DataError: template and answer alone are longer than `max_text_tokens`.
            ModelError: the tokenizer merges the prompt's end with the answer's beginning, or there
                are several pictures, or none.
        """
        self.require_pictures(pictures)
        return self._prompts.encode(self.wording, question, answer, history, cut_answer=cut_answer)

    def answer_length(self, answer: str) -> int:
        """See `VLM.answer_length`."""
        return self._prompts.length(answer)

    def image_prefix(self, ids: Tensor) -> list[int]:
        """An image's codes [tokens] as the beginning of a sequence, with the marks around them."""
        return self.prefix((ids + self.vocabulary.first_code).tolist())

    def prefix(self, ids: Sequence[int]) -> list[int]:
        """Any tokens as what every position sees, with the marks of a picture around them."""
        words = self.vocabulary
        return [words.mmu, words.soi, *ids, words.eoi]

    def loss(self, features: Sequence[Features], batch: Sequence[Encoded]) -> Tensor:
        """Mean cross-entropy over the answer tokens of a batch (scalar, with gradient)."""
        return self.answer_loss([self.image_prefix(row["ids"]) for row in features], batch).mean()

    def answer_loss(self, prefixes: Sequence[list[int]], batch: Sequence[Encoded]) -> Tensor:
        """Cross-entropy of each answer token, [answer tokens], row after row.

        Args:
            prefixes: what stands before each example and is seen by every position of its row.
            batch: examples with answers.
        """
        rows = [
            [*prefix, *row.prompt_ids, *row.answer_ids]
            for prefix, row in zip(prefixes, batch, strict=True)
        ]
        ids, mask = self.assemble(rows, [len(prefix) for prefix in prefixes], left=False)
        answers = [len(row.answer_ids) for row in batch]
        embeds = self.llm.get_input_embeddings()(ids)
        labeled = answer_states(self.llm, embeds, [len(row) for row in rows], answers, mask)
        logits = self.head(labeled).float()  # [answer tokens, vocabulary]
        targets = torch.tensor([token for row in batch for token in row.answer_ids])
        return F.cross_entropy(logits, to_device(targets, logits.device), reduction="none")

    @torch.no_grad()
    def generate(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; labels in `batch`, if any, are not read."""
        prefixes = [self.image_prefix(row["ids"]) for row in features]
        rows = [[*prefix, *row.prompt_ids] for prefix, row in zip(prefixes, batch, strict=True)]
        ids, mask = self.assemble(rows, [len(prefix) for prefix in prefixes], left=True)
        answers = greedy(
            self.llm,
            self.head,
            Prompt(self.llm.get_input_embeddings()(ids), ids != self.vocabulary.pad, mask),
            self.end_id,
            max_new_tokens,
        )
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def assemble(
        self, rows: Sequence[list[int]], prefixes: Sequence[int], *, left: bool
    ) -> tuple[Tensor, Tensor]:
        """Rows as one batch, and what its positions see.

        Args:
            rows: token ids of each row.
            prefixes: places at each row's beginning that every position of the row sees.
            left: pad on the left (generation) or the right (training).

        Returns:
            Token ids [B, T], and the mask [B, 1, T, T] in the form that the attention takes.
        """
        longest = max(map(len, rows))
        pads = [longest - len(row) for row in rows]
        filled = [[self.vocabulary.pad] * pad for pad in pads]
        ids = torch.tensor(
            [pad + row if left else row + pad for pad, row in zip(filled, rows, strict=True)]
        )
        before = pads if left else [0] * len(rows)
        alike = len({*zip(before, prefixes, strict=True)}) == 1  # then one mask does for all
        some = slice(1 if alike else None)
        visibility = visible(before[some], prefixes[some], longest, self.device)
        attention = self.llm.config._attn_implementation
        mask = for_attention(visibility, attention, self.module.showo.dtype)
        return to_device(ids, self.device), mask.expand(len(rows), -1, -1, -1)
