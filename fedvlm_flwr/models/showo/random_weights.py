"""A Show-o of full size that nobody has trained: for measuring where no weights are at hand."""

from typing import Any

import torch
from transformers import PhiForCausalLM

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.pretraining.tiny_showo import tokenizer_for
from fedvlm_flwr.models.showo.magvit import MagvitTokenizer
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.models.showo.network import ShowoNetwork, Vocabulary, phi_config
from fedvlm_flwr.models.showo.params import Params
from fedvlm_flwr.models.weights.in_place import quantize_in_place, seeded
from fedvlm_flwr.models.weights.loading import torch_dtype

NETWORK: Any = PhiForCausalLM  # its annotations leave out what is called here


def random_showo(params: Params, device: torch.device, seed: int, words: list[str]) -> Showo:
    """The network that `from_sources` would read, made on the device; no file is read or written.

    Its tokenizer knows the words of the prompt and `words`, and has as many more as
    `model.sizes.words` says. A run never gets such a model.

    Raises:
        ConfigError: `model.sizes.words` is null or too few, or quantization cannot be had.
    """
    count = len(tokenizer_for(words, params.template))
    if params.sizes.words is None or params.sizes.words < count:
        raise ConfigError(
            f"model.sizes.words={params.sizes.words}, and a Show-o with random weights needs at "
            f"least {count}; raise it."
        )
    fillers = [f"filler{i}" for i in range(params.sizes.words - count)]
    tokenizer = tokenizer_for([*words, *fillers], params.template)
    vocabulary = Vocabulary(len(tokenizer), params.sizes.image.codes)
    with seeded(seed, device):
        llm = NETWORK._from_config(
            phi_config(params.sizes.llm, vocabulary, tokenizer.eos_token_id),
            dtype=torch_dtype(params),
            attn_implementation=params.implementation,
        )
        module = ShowoNetwork(llm, MagvitTokenizer(params.sizes.image))
    module.requires_grad_(False)
    module.eval()
    quantize_in_place(module, params, ("lm_head", "image_tokenizer"))
    resolution, template = params.resolution, params.template
    return Showo(module, tokenizer, resolution, template, params.max_text_tokens, params.follow_up)
