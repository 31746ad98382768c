"""A Show-o of its own classes with small sizes: how it starts, and how it is pretrained."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fedvlm_flwr.models.pretraining.data import PublicImage
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.probe import Probe
from fedvlm_flwr.models.pretraining.recipe import ShowoRecipe
from fedvlm_flwr.models.pretraining.stages import (
    PretrainingData,
    Progress,
    StageExample,
    StepFn,
    run_stages,
)
from fedvlm_flwr.models.pretraining.tokenizer import word_tokenizer
from fedvlm_flwr.models.prompts import QUESTION
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import ShowoNetwork, Vocabulary, network
from fedvlm_flwr.models.showo.sizes import ShowoSizes


def tokenizer_for(texts: Iterable[str], template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of `texts` and `template`."""
    return word_tokenizer([*texts, template.replace(QUESTION, "")])


def build(sizes: ShowoSizes, tokenizer: PreTrainedTokenizerBase, seed: int) -> ShowoNetwork:
    """A randomly initialized network for the words of a tokenizer."""
    vocabulary = Vocabulary(len(tokenizer), sizes.image.codes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(sizes, vocabulary, tokenizer.eos_token_id)


def pretrain(
    model: Showo,
    images: Sequence[PublicImage],
    recipe: ShowoRecipe,
    progress: Progress | None = None,
) -> None:
    """Train all weights of `model` in place, see `run_stages`."""
    set_memory_format(model.vision, torch.channels_last)  # a sixth faster on a CPU
    try:
        run_stages(ShowoTrainee(model, recipe), images, recipe, progress)
    finally:
        set_memory_format(model.vision, torch.contiguous_format)


def set_memory_format(module: nn.Module, order: torch.memory_format) -> None:
    """Store the weights of convolutions in another order of their dimensions; values stay."""
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=order)


class ShowoTrainee:
    """Trains its image tokenizer first, then the language model on its codes."""

    def __init__(self, model: Showo, recipe: ShowoRecipe) -> None:
        self.model = model
        self.recipe = recipe

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.model.module

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """As `Showo.pixels`, [N, 3, side, side]."""
        return self.model.pixels(images)

    def train_vision(self, data: PretrainingData, step: StepFn) -> None:
        """Train the image tokenizer: codes that tell caption words and box, and the image."""
        recipe, tokenizer = self.recipe, self.model.vision
        width = self.model.llm.config.hidden_size
        probe = Probe(self.model.tokenizer, data.images, width, recipe.seed)
        projector = code_projector(tokenizer.sizes.bits, width, recipe.seed)

        def step_loss() -> Tensor:
            numbers, pixels, boxes = data.sample(probe.pool, recipe.vision.pictures)
            latents = tokenizer.latents(pixels).tanh()  # [B, bits, rows, columns]
            signs = straight_through(latents)
            tokens = projector(to_sequence(signs))  # [B, rows * columns, width]
            probe_loss = probe.loss(tokens, numbers, boxes, recipe.box_weight)
            part = slice(recipe.redrawn)
            pixel_loss = F.mse_loss(tokenizer.decoder(signs[part]), pixels[part])
            redundancy = recipe.spread_weight * code_redundancy(latents)
            return probe_loss + recipe.pixel_weight * pixel_loss + redundancy

        weights = [*tokenizer.parameters(), *projector.parameters(), *probe.heads.parameters()]
        fit(weights, step_loss, recipe.vision, step)
        self.initialize_code_embeddings(nn.Sequential(projector, probe.heads[0]))

    @torch.no_grad()
    def initialize_code_embeddings(self, projector: nn.Module) -> None:
        """Start the codes' rows of the embedding table from what the vision stage learned of them.

        From rows that start random, each of thousands of codes would have to be learnt anew.

        Args:
            projector: signs [codes, bits] to [codes, width].
        """
        table = self.model.llm.get_input_embeddings().weight  # [vocabulary, width]
        rows = projector(self.model.vision.quantize.embedding)  # [codes, width]
        first = self.model.vocabulary.first_code
        table[first : first + len(rows)] = rows * (table.std() / rows.std())

    def text_parameters(self) -> list[nn.Parameter]:
        """The language model with its head."""
        return list(self.model.module.showo.parameters())

    def language_parameters(self) -> list[nn.Parameter]:
        """The same: there is no connector."""
        return self.text_parameters()

    def loss(self, pixels: Tensor, examples: Sequence[StageExample]) -> Tensor:
        """Mean loss over the answer tokens (scalar) of pixels [B, 3, side, side]; see `Trainee`."""
        model = self.model
        with_image = any(example.text is None for example in examples)
        codes = model.vision.encode(pixels) if with_image else None  # [B, image tokens]
        prefixes = []
        for example in examples:
            if example.text is None:
                assert codes is not None
                prefixes.append(model.image_prefix(codes[example.image]))
            else:
                ids = model.tokenizer(example.text, add_special_tokens=False)["input_ids"]
                prefixes.append(model.prefix(ids))
        batch = [model.encode(example.question, example.answer) for example in examples]
        return model.answer_loss(prefixes, batch).mean()


def code_projector(bits: int, width: int, seed: int) -> nn.Module:
    """From codes as signs [..., bits] to [..., width]: learnt with the image tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(bits, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


def straight_through(latents: Tensor) -> Tensor:
    """The signs of latents in -1..1, with the gradient of the latents themselves.

    The straight-through estimator (Bengio et al. 2013, arXiv 1308.3432); [...] of latents [...].
    """
    signs = torch.where(latents > 0, 1.0, -1.0)
    return latents + (signs - latents).detach()


def to_sequence(signs: Tensor) -> Tensor:
    """[B, rows * columns, bits] of [B, bits, rows, columns]."""
    return signs.flatten(2).transpose(1, 2)


def code_redundancy(latents: Tensor) -> Tensor:
    """How much the bits have in common, over a batch: their means and correlations, squared.

    Without this most codes are never used.

    Args:
        latents: in -1..1, [B, bits, rows, columns].

    Returns:
        A scalar, with gradient.
    """
    bits = to_sequence(latents).flatten(0, 1)  # [B * places, bits]
    products = bits.T @ bits / len(bits)  # [bits, bits]
    off_diagonal = products - torch.diag(products.diag())
    pairs = max(off_diagonal.numel() - len(off_diagonal), 1)
    return bits.mean(0).square().mean() + off_diagonal.square().sum() / pairs
