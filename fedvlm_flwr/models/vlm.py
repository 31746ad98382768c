"""What every vision-language model offers to the rest of the code."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedvlm_flwr.data.records import MOST_PICTURES, counted
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.images.frame import WHOLE, Frame

PARTS = ("vision", "connector", "llm")

# The frozen encoding of one picture, named tensors without a batch dimension: the vision tower's
# tokens, image-token ids, or the pixels where a model encodes them anew each time.
Features = Mapping[str, Tensor]

History = tuple[tuple[str, str], ...]  # earlier questions and their answers

ONE_PICTURE = range(1, 2)
ANY_PICTURES = range(MOST_PICTURES + 1)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids: the prompt with the places of its images, then the answer.

    `answer_ids` ends with the end token, unless the answer was cut; it is empty when the example is
    a question to be answered.
    The loss is on the answer's ids and on nothing else.
    `pictures` is how many images it shows.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...] = ()
    pictures: int = 1


@dataclass
class Skeleton:
    """A network and the place of its parts, without tokenizer or weights (on torch's meta device).

    Attributes:
        module: the whole network.
        parts: module path inside `module` (`model.vision_tower`) by part name; a model without a
            connector has no such key.
        lora_targets: the names of the LLM's linear layers that take an adapter, without the head.
        root: path inside `module` of the network that a saved adapter is for; empty: all of it.
        image_tokens: places that one picture takes in the sequence.
        image_states: states of one picture that the LLM attends to beside the sequence.
        packs: whether a batch's rows are packed in training, see `models.packing`.
    """

    module: nn.Module
    parts: Mapping[str, str]
    lora_targets: tuple[str, ...]
    root: str = ""
    image_tokens: int = 0
    image_states: int = 0
    packs: bool = False


def base_of(network: Any) -> str:
    """Folder or hub id that a transformers network was read from; empty: it was made here."""
    return str(network.config._name_or_path)


class VLM(ABC):
    """A vision-language model made of named parts (`vision`, `connector`, `llm`).

    `features` is the frozen work on a picture and is done once per picture; everything that can be
    trained lies behind it, in `loss` and `generate`.

    Attributes:
        module, parts, lora_targets, root: as in `Skeleton`.
        base: folder or hub id of the network at `root`, which a saved adapter names as its base;
            empty: it has none.
        fingerprint: names the frozen work on pictures (weights of the vision part, picture
            processing), for caches.
        keep_features: whether features are worth a place on disk, which pixels are not.
        device: where the network lies.
        untrained: parts that start random, so that a tuning must train them.
        unknown_id: the token of all words that the tokenizer has no token for; None: it spells any
            text.
        pictures: how many an example may show; its kind's `pictures` says the same.
    """

    module: nn.Module
    parts: Mapping[str, str]
    lora_targets: tuple[str, ...]
    root: str = ""
    base: str
    fingerprint: str
    keep_features: bool = True
    device: torch.device
    untrained: tuple[str, ...] = ()
    unknown_id: int | None = None
    pictures: range = ONE_PICTURE

    @property
    def truncated_questions(self) -> int:
        """Distinct questions that were cut, or lost turns before them, for being too long."""
        return 0

    def require_pictures(self, count: int) -> None:
        """Refuse an example that shows more pictures than may be, or fewer.

        Raises:
            ModelError: says how many.
        """
        if count not in self.pictures:
            raise ModelError(
                f"An example shows {count} pictures, and the model takes {counted(self.pictures)}; "
                "choose a model that takes them (docs/models.md)."
            )

    def prompt_facts(self) -> dict[str, Any]:
        """What another program must know to ask the same, in values of JSON; see `reload_facts`."""
        return {}

    @abstractmethod
    def features(self, images: Sequence[Path]) -> list[Features]:
        """The frozen encoding of each picture, in the given order, on any device.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """

    def frame(self, image: Path) -> Frame:
        """What of a picture `features` sees, so that boxes can follow.

        Raises:
            DataError: the picture's header is needed and cannot be read; names its path.
        """
        return WHOLE

    @abstractmethod
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

        Args:
            question: about the pictures; of several each has its place in it, written `<image>`, or
                in an earlier question.
            answer: what is learnt; None: the question is to be answered.
            history: earlier questions, with the answers that they had.
            cut_answer: whether an answer that does not fit loses its end.
            pictures: how many are shown, one of `self.pictures`; the only one stands before the
                first question.

        Raises:
            DataError: the answer does not fit and is not to be cut.
            ModelError: the prompt has no form for earlier turns, or for so many pictures.
        """

    @abstractmethod
    def answer_length(self, answer: str) -> int:
        """Tokens of an answer with its end token, however many they are."""

    @abstractmethod
    def loss(self, features: Sequence[Features], batch: Sequence[Encoded]) -> Tensor:
        """Mean cross-entropy over the answer tokens of a batch (scalar, with gradient).

        Args:
            features: of the pictures of all examples, in their order.
            batch: B examples with answers. Logits are computed at labelled positions only.
        """

    @abstractmethod
    def generate(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; labels in `batch`, if any, are not read."""
