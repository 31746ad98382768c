"""Any image-text-to-text model of transformers whose family is known.

The model's own processor, chat template, `forward` and `generate` do the work; what is added is
what the rest of the code needs: a picture is processed once, only an answer's tokens are learnt,
and the parts have names.

The vision tower runs once for a picture where its family's row says how outputs are joined, see
`tower.py`; otherwise anew at every step, from kept pixels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from fedvlm_flwr.images.frame import Frame
from fedvlm_flwr.images.reading import READING, image_size_of, open_image
from fedvlm_flwr.models.features import fingerprint
from fedvlm_flwr.models.hf_vlm.inputs import HfInputs
from fedvlm_flwr.models.hf_vlm.processor import frame_through
from fedvlm_flwr.models.hf_vlm.tower import Tower, is_whole
from fedvlm_flwr.models.last_layer import read_at
from fedvlm_flwr.models.parts import linear_names
from fedvlm_flwr.models.transfer import to_device
from fedvlm_flwr.models.vlm import VLM, Encoded, Features, History, base_of


class HfVlm(VLM):
    """A transformers image-text-to-text model behind the interface of every model here.

    Args:
        module: the network with its head.
        inputs: its processor and prompts.

    Raises:
        ModelError: the processor crops what it has not resized.
    """

    def __init__(self, module: PreTrainedModel, inputs: HfInputs) -> None:
        self.module = module
        self.inputs = inputs
        self.family = inputs.family
        self.pictures = inputs.pictures
        self.parts = self.family.parts
        self.base = base_of(module)
        self.lora_targets = linear_names(module.get_submodule(self.family.llm))
        self.device = next(module.parameters()).device
        vision = module.get_submodule(self.family.vision)
        self._dtype = next(vision.parameters()).dtype
        processing = inputs.processor.image_processor
        frame_through(processing, (1, 1))  # refused here rather than at the first picture
        choice = [repr(inputs.turn), str(self._dtype), READING]
        self._tower: Tower | None = None
        if self.family.joined is not None:
            self._tower = Tower(module, self.family, self.device)
            choice += [inputs.identity, feature_layer(module.config)]
        self.keep_features = self._tower is not None  # otherwise they are pixels
        self.fingerprint = fingerprint(vision, choice, processing)
        self.stops = self._stops()
        # The checkpoint's own may sample or punish repetition; here the likeliest token counts.
        greedy: Any = GenerationConfig
        module.generation_config = greedy(
            do_sample=False, eos_token_id=sorted(self.stops), pad_token_id=inputs.pad_id
        )

    @property
    def truncated_questions(self) -> int:
        """Distinct questions that were cut, or lost turns before them, so far."""
        return self.inputs.prompts.cut

    def encode(
        self,
        question: str,
        answer: str | None = None,
        history: History = (),
        *,
        cut_answer: bool = False,
        pictures: int = 1,
    ) -> Encoded:
        """Token ids of the prompt and of the answer, see `HfInputs.encode`."""
        self.require_pictures(pictures)
        return self.inputs.encode(
            question, answer, history, cut_answer=cut_answer, pictures=pictures
        )

    def answer_length(self, answer: str) -> int:
        """See `VLM.answer_length`."""
        return self.inputs.prompts.length(answer)

    def features(self, images: Sequence[Path]) -> list[Features]:
        """The processor's tensors of each picture, see `HfInputs.encode_image`.

        Where it is kept, the vision tower's output is there instead of the pixels.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        rows = [self.inputs.encode_image(open_image(path), self._dtype) for path in images]
        return rows if self._tower is None else [self._tower.keep(row) for row in rows]

    def frame(self, image: Path) -> Frame:
        """What of a picture the family's own processor shows, see `frame_through`.

        Raises:
            DataError: the picture's header cannot be read; names its path.
        """
        return frame_through(self.inputs.processor.image_processor, image_size_of(image))

    def loss(self, features: Sequence[Features], batch: Sequence[Encoded]) -> Tensor:
        """Mean cross-entropy over the answer tokens of a batch (scalar, with gradient)."""
        network = self.module.get_submodule("model")
        with self._arguments(features, batch, answers=True) as arguments:
            longest = arguments["input_ids"].shape[1]
            where: list[int] = []
            targets: list[int] = []
            prompts = self.inputs.prompted(features, batch)
            for i, ((ids, _), example) in enumerate(zip(prompts, batch, strict=True)):
                start = i * longest + len(ids) - 1  # a token is predicted one place before it
                where.extend(range(start, start + len(example.answer_ids)))
                targets.extend(example.answer_ids)
            # index_select, since the gradient of plain indexing adds up in no fixed order.
            places, labels = to_device(torch.tensor([where, targets]), self.device).unbind()
            with read_at(self.module.get_submodule(self.family.llm), places):
                output = network(**arguments, use_cache=False)
        labeled = output.last_hidden_state.flatten(0, 1).index_select(0, places)
        logits = self._logits(labeled).float()  # [answer tokens, vocabulary]
        return F.cross_entropy(logits, labels)

    @torch.no_grad()
    def generate(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[str]:
        """Greedy answers to B prompts; labels in `batch`, if any, are not read."""
        rows = self.answers(features, batch, max_new_tokens)
        texts = self.inputs.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [text.strip() for text in texts]

    @torch.no_grad()
    def answers(
        self, features: Sequence[Features], batch: Sequence[Encoded], max_new_tokens: int
    ) -> list[list[int]]:
        """The likeliest tokens after each prompt, without what ends them."""
        network: Any = self.module
        with self._arguments(features, batch, answers=False) as arguments:
            sequences = network.generate(**arguments, max_new_tokens=max_new_tokens)
        rows: list[list[int]] = sequences[:, arguments["input_ids"].shape[1] :].tolist()
        ends = [next((i for i, t in enumerate(row) if t in self.stops), len(row)) for row in rows]
        return [row[:end] for row, end in zip(rows, ends, strict=True)]

    @contextmanager
    def _arguments(
        self, features: Sequence[Features], batch: Sequence[Encoded], *, answers: bool
    ) -> Iterator[dict[str, Tensor]]:
        """What the network is called with, while the tower gives what was kept of pictures."""
        batched = self.inputs.batch(features, batch, answers=answers)
        arguments = {name: to_device(value, self.device) for name, value in batched.items()}
        if self._tower is None or not features or is_whole(features[0]):
            yield arguments
            return
        with self._tower.replayed(features) as pixels:
            yield arguments | pixels

    def _logits(self, hidden: Tensor) -> Tensor:
        network: Any = self.module
        logits: Tensor = network.get_output_embeddings()(hidden)
        if not self.family.softcap:
            return logits
        cap = getattr(network.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def _stops(self) -> frozenset[int]:
        """All tokens that end an answer: as taught, the tokenizer's, the checkpoint's."""
        ends: Any = getattr(self.module.generation_config, "eos_token_id", None)
        others = ends if isinstance(ends, list) else [ends]
        own: Any = self.inputs.tokenizer.eos_token_id
        return frozenset(i for i in (self.inputs.end_id, own, *others) if i is not None)


def feature_layer(config: Any) -> str:
    """Which of the vision tower's layers a family's code reads, as its configuration says."""
    return repr(getattr(config, "vision_feature_layer", None))
