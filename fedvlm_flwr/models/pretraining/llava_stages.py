"""How a tiny LLaVA is pretrained on public images and on text."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.pretraining.data import PublicImage
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.probe import Probe
from fedvlm_flwr.models.pretraining.recipe import Recipe
from fedvlm_flwr.models.pretraining.stages import (
    PretrainingData,
    Progress,
    StageExample,
    StepFn,
    run_stages,
)
from fedvlm_flwr.models.pretraining.vision_init import initialize_vision
from fedvlm_flwr.models.vlm import Encoded


def pretrain(
    model: Llava, images: Sequence[PublicImage], recipe: Recipe, progress: Progress | None = None
) -> None:
    """Train all weights of `model` in place, see `run_stages`."""
    run_stages(LlavaTrainee(model), images, recipe, progress)


class LlavaTrainee:
    """Trains its tower first, then its language model, then that and the connector.

    The frozen tower in the last stage is what LLaVA's own pretraining does.
    """

    def __init__(self, model: Llava) -> None:
        self.model = model

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.model.module

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """As `Llava.pixels`, [N, 3, side, side]."""
        return self.model.pixels(images)

    def train_vision(self, data: PretrainingData, step: StepFn) -> None:
        """Train the vision tower to tell caption words and box by its tokens."""
        tower, recipe = self.model.vision, data.recipe
        initialize_vision(tower.embeddings, data.pixels)
        width = tower.config.hidden_size
        probe = Probe(self.model.tokenizer, data.images, width, recipe.seed)

        def step_loss() -> Tensor:
            numbers, pixels, boxes = data.sample(probe.pool, recipe.vision.pictures)
            tokens = self.model.encode_pixels(pixels)  # [B, patches, width]
            return probe.loss(tokens, numbers, boxes, recipe.box_weight)

        fit([*tower.parameters(), *probe.heads.parameters()], step_loss, recipe.vision, step)

    def text_parameters(self) -> list[nn.Parameter]:
        """The language model with its head."""
        return [*self.model.llm.parameters(), *self.model.head.parameters()]

    def language_parameters(self) -> list[nn.Parameter]:
        """... and the connector."""
        return [*self.model.connector.parameters(), *self.text_parameters()]

    def loss(self, pixels: Tensor, examples: Sequence[StageExample]) -> Tensor:
        """Mean loss over the answer tokens (scalar) of pixels [B, 3, side, side]; see `Trainee`."""
        model = self.model
        batch: list[Encoded] = []
        owners: list[int] = []  # which image each example with an image is about
        for example in examples:
            if example.text is None:
                batch.append(model.encode(example.question, example.answer))
                owners.append(example.image)
            else:
                batch.append(model.encode_text(example.text, example.question, example.answer))
        if not owners:
            image = torch.zeros(0, 1, model.llm.config.hidden_size)
            return model.answer_loss(image, batch).mean()
        with torch.no_grad():
            features = model.encode_pixels(pixels)  # [B, patches, vision width]
        image = model.connect(features).index_select(0, torch.tensor(owners))
        return model.answer_loss(image, batch).mean()  # image: [owners, patches, LLM width]
