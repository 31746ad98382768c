"""How a tiny LLaVA is pretrained on public pictures and on text."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.pretraining.data import Picture
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.probe import Sight
from fedvlm_flwr.models.pretraining.recipe import Recipe
from fedvlm_flwr.models.pretraining.stages import Done, Material, Progress, Row, teach
from fedvlm_flwr.models.pretraining.vision_init import start_vision
from fedvlm_flwr.models.vlm import Encoded


def pretrain(
    model: Llava, pictures: Sequence[Picture], recipe: Recipe, progress: Progress | None = None
) -> None:
    """Train all weights of `model` in place, see `teach`."""
    teach(LlavaPupil(model), pictures, recipe, progress)


class LlavaPupil:
    """A LLaVA that learns: its tower first, then its language model, then that and the connector.

    The frozen tower in the last phase is what LLaVA's own pretraining does.
    """

    def __init__(self, model: Llava) -> None:
        self.model = model

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.model.module

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """As `Llava.pixels`."""
        return self.model.pixels(images)

    def learn_to_see(self, material: Material, done: Done) -> None:
        """Train the vision tower to tell caption words and box by its tokens."""
        tower, recipe = self.model.vision, material.recipe
        start_vision(tower.embeddings, material.pixels)
        width = tower.config.hidden_size
        sight = Sight(self.model.tokenizer, material.pictures, width, recipe.seed)

        def step_loss() -> Tensor:
            chosen, moved, boxes = material.some(sight.able, recipe.vision.pictures)
            tokens = self.model.encode_pixels(moved)
            return sight.loss(tokens, chosen, boxes, recipe.box_weight)

        fit([*tower.parameters(), *sight.heads.parameters()], step_loss, recipe.vision, done)

    def readers(self) -> list[nn.Parameter]:
        """The language model with its head."""
        return [*self.model.llm.parameters(), *self.model.head.parameters()]

    def speakers(self) -> list[nn.Parameter]:
        """... and the connector."""
        return [*self.model.connector.parameters(), *self.readers()]

    def rows_loss(self, pixels: Tensor, rows: Sequence[Row]) -> Tensor:
        """Mean loss over the answer tokens of rows on [N, 3, side, side], the moved pictures."""
        model = self.model
        batch: list[Encoded] = []
        owners: list[int] = []  # which picture each row with a picture is about
        for row in rows:
            if row.words is None:
                batch.append(model.encode(row.question, row.answer))
                owners.append(row.picture)
            else:
                batch.append(model.encode_text(row.words, row.question, row.answer))
        if not owners:
            image = torch.zeros(0, 1, model.llm.config.hidden_size)
            return model.answer_loss(image, batch).mean()
        with torch.no_grad():
            features = model.encode_pixels(pixels)
        image = model.connect(features).index_select(0, torch.tensor(owners))
        return model.answer_loss(image, batch).mean()
