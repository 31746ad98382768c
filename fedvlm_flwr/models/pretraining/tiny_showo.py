"""A Show-o of its own classes with small sizes: how it starts, and how it is pretrained."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fedvlm_flwr.models.pretraining.data import Picture
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.probe import Sight
from fedvlm_flwr.models.pretraining.recipe import ShowoRecipe
from fedvlm_flwr.models.pretraining.stages import Done, Material, Progress, Row, teach
from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer
from fedvlm_flwr.models.prompts import QUESTION
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import ShowoNetwork, Vocabulary, network
from fedvlm_flwr.models.showo.sizes import ShowoSizes


def tokenizer_for(texts: Iterable[str], template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of `texts` and `template`."""
    return word_tokenizer([*texts, template.replace(QUESTION, "")])


def build(sizes: ShowoSizes, tokenizer: PreTrainedTokenizerBase, seed: int) -> ShowoNetwork:
    """A randomly initialised network for the words of a tokenizer."""
    vocabulary = Vocabulary(len(tokenizer), sizes.image.codes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(sizes, vocabulary, tokenizer.eos_token_id)


def pretrain(
    model: Showo, pictures: Sequence[Picture], recipe: ShowoRecipe, progress: Progress | None = None
) -> None:
    """Train all weights of `model` in place, see `teach`."""
    lay_out(model.vision, torch.channels_last)  # a sixth faster on a CPU
    try:
        teach(ShowoPupil(model, recipe), pictures, recipe, progress)
    finally:
        lay_out(model.vision, torch.contiguous_format)


def lay_out(module: nn.Module, order: torch.memory_format) -> None:
    """Store the weights of convolutions in another order of their dimensions; values stay."""
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=order)


class ShowoPupil:
    """A Show-o that learns: its image tokenizer first, then the language model on its codes."""

    def __init__(self, model: Showo, recipe: ShowoRecipe) -> None:
        self.model = model
        self.recipe = recipe

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.model.module

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """As `Showo.pixels`."""
        return self.model.pixels(images)

    def learn_to_see(self, material: Material, done: Done) -> None:
        """Train the image tokenizer: codes that tell caption words and box, and the picture."""
        recipe, tokenizer = self.recipe, self.model.vision
        width = self.model.llm.config.hidden_size
        sight = Sight(self.model.tokenizer, material.pictures, width, recipe.seed)
        meaning = code_meaning(tokenizer.sizes.bits, width, recipe.seed)

        def step_loss() -> Tensor:
            chosen, moved, boxes = material.some(sight.able, recipe.vision.pictures)
            soft = tokenizer.latents(moved).tanh()  # [B, bits, rows, columns]
            signs = through(soft)
            told = sight.loss(meaning(in_rows(signs)), chosen, boxes, recipe.box_weight)
            seen = slice(recipe.redrawn)
            drawn = F.mse_loss(tokenizer.decoder(signs[seen]), moved[seen])
            return told + recipe.pixel_weight * drawn + recipe.spread_weight * common(soft)

        learnt = [*tokenizer.parameters(), *meaning.parameters(), *sight.heads.parameters()]
        fit(learnt, step_loss, recipe.vision, done)
        self.start_codes(nn.Sequential(meaning, sight.heads[0]))

    @torch.no_grad()
    def start_codes(self, meaning: nn.Module) -> None:
        """Start the codes' rows of the embedding table from what the vision phase found in them.

        From rows that start random, each of thousands of codes would have to be learnt anew.
        """
        table = self.model.llm.get_input_embeddings().weight
        rows = meaning(self.model.vision.quantize.embedding)  # [codes, width]
        first = self.model.vocabulary.first_code
        table[first : first + len(rows)] = rows * (table.std() / rows.std())

    def readers(self) -> list[nn.Parameter]:
        """The language model with its head."""
        return list(self.model.module.showo.parameters())

    def speakers(self) -> list[nn.Parameter]:
        """The same: there is no connector."""
        return self.readers()

    def rows_loss(self, pixels: Tensor, rows: Sequence[Row]) -> Tensor:
        """Mean loss over the answer tokens of rows on [N, 3, side, side], the moved pictures."""
        model = self.model
        codes = model.vision.encode(pixels) if any(row.words is None for row in rows) else None
        prefixes = []
        for row in rows:
            if row.words is None:
                assert codes is not None
                prefixes.append(model.picture(codes[row.picture]))
            else:
                ids = model.tokenizer(row.words, add_special_tokens=False)["input_ids"]
                prefixes.append(model.prefix(ids))
        batch = [model.encode(row.question, row.answer) for row in rows]
        return model.answer_loss(prefixes, batch).mean()


def code_meaning(bits: int, width: int, seed: int) -> nn.Module:
    """What codes as signs [..., bits] mean, [..., width]: learnt with the image tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(bits, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


def through(soft: Tensor) -> Tensor:
    """The signs of latents in -1..1, with the gradient of the latents themselves."""
    signs = torch.where(soft > 0, 1.0, -1.0)
    return soft + (signs - soft).detach()


def in_rows(signs: Tensor) -> Tensor:
    """[B, rows * columns, bits] of [B, bits, rows, columns]."""
    return signs.flatten(2).transpose(1, 2)


def common(soft: Tensor) -> Tensor:
    """How much the bits have in common, over a batch: their means and correlations, squared.

    Without this most codes are never used.
    """
    bits = in_rows(soft).flatten(0, 1)  # [B * places, bits]
    shared = bits.T @ bits / len(bits)
    apart = shared - torch.diag(shared.diag())
    pairs = max(apart.numel() - len(apart), 1)
    return bits.mean(0).square().mean() + apart.square().sum() / pairs
