"""The language model of a LLaVA: which families can be one, and how their states become logits."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MoeModelOutputWithPast

from fedvlm_flwr.errors import ModelError

# What training and answering call a decoder with; see `Llava.answer_loss` and `greedy`.
CALLED_WITH = (
    "inputs_embeds",
    "attention_mask",
    "position_ids",
    "past_key_values",
    "use_cache",
)


class FamilyHead:
    """Hidden states to logits, as the family's own `forward` has it.

    Some families do more than the last layer: Granite divides, Cohere multiplies, Gemma 2 bounds
    the logits. So their own code is called, with the hidden states in place of a decoder's output.

    Args:
        config: the language model's.
        layer: the last layer, hidden width to vocabulary.
        added: ids of rows that the language model did not have, see `assembly.added_rows`; their
            logits are minus infinity.
    """

    def __init__(self, config: PreTrainedConfig, layer: nn.Module, added: Sequence[int]) -> None:
        network = causal_network(config)
        network.get_decoder().forward = _handed_on
        network.set_output_embeddings(layer)
        self._network = network.eval()
        self._added = torch.tensor(added, dtype=torch.long, device=next(layer.parameters()).device)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits [..., vocabulary] of hidden states [..., width]."""
        rows = hidden.reshape(1, -1, hidden.shape[-1])
        logits: Tensor = self._network(inputs_embeds=rows, use_cache=False).logits
        if len(self._added):
            logits = logits.index_fill(-1, self._added, -torch.inf)
        return logits.reshape(*hidden.shape[:-1], -1)


@dataclass
class _Output(MoeModelOutputWithPast):
    """All that a causal language model looks for in its decoder's output."""

    cross_attentions: Any = None
    shared_kv_states: Any = None


def _handed_on(*_: object, inputs_embeds: Tensor, **__: object) -> _Output:
    return _Output(last_hidden_state=inputs_embeds)


def causal_network(config: PreTrainedConfig) -> Any:
    """The family's causal language model on the meta device."""
    reader: Any = AutoModelForCausalLM
    with torch.device("meta"):
        return reader.from_config(deepcopy(config))


def require_language_model(source: str, config: PreTrainedConfig) -> None:
    """Refuse a language model that a LLaVA would compute otherwise than its family does, or not.

    Args:
        source: the language model, for the message.
        config: its configuration; weights are not needed.

    Raises:
        ModelError: names source, family and reason.
    """
    reason = _reason_against(config)
    if reason is not None:
        raise ModelError(
            f"{source} is of the family '{config.model_type}', which cannot be the language model "
            f"of a LLaVA here: {reason}; give another one as model.llm, for example a Llama, Qwen, "
            "Mistral, Gemma, Phi-3, SmolLM or Granite."
        )


def require_decoder(source: str, kind: str, decoder: nn.Module) -> None:
    """Refuse a decoder that cannot be called, or has nothing that takes an adapter.

    Raises:
        ModelError: names source, family and reason.
    """
    reason = _reason_against_decoder(decoder)
    if reason is not None:
        raise ModelError(
            f"The language model of {source} is of the family '{kind}', which cannot be trained "
            f"here: {reason}; use another checkpoint."
        )


def _reason_against(config: PreTrainedConfig) -> str | None:
    """Why it cannot be; None: it can."""
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "it is no causal language model of transformers"
    packed: Any = getattr(config, "quantization_config", None)
    if packed is not None and dict(packed).get("quant_method") != "gguf":  # that is unpacked
        return (
            "its weights are quantized already (take the checkpoint that they were made of, and "
            "set model.quantize)"
        )
    if config.is_encoder_decoder:
        return "it is an encoder with a decoder"
    halves = {"vision_config", "audio_config"} & config.sub_configs.keys()
    if halves or config.get_text_config(decoder=True) is not config:
        return "it holds a model of images or sounds itself (model=hf_vlm takes such)"
    if hasattr(config, "index_topk"):
        return "which places its sparse attention picks depends on how a batch is filled up"
    network = causal_network(config)
    decoder, layer = network.get_decoder(), network.get_output_embeddings()
    alone: Any = MODEL_MAPPING.get(type(config), None)
    if type(decoder) is not alone:
        return "transformers cannot build its decoder by itself"
    if reason := _reason_against_decoder(decoder):
        return reason
    if not isinstance(layer, nn.Linear) or layer.bias is not None:
        return "its head has a bias, for which the LLaVA form has no place"
    if not network._supports_default_dynamic_cache():
        return "it keeps a cache of a form of its own"
    try:
        FamilyHead(config, layer, ())(torch.empty(1, layer.in_features, device="meta"))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        return f"its head needs more than hidden states ({error})"
    return None


def _reason_against_decoder(decoder: Any) -> str | None:
    names = signature(decoder.forward).parameters
    if lacking := [name for name in CALLED_WITH if name not in names]:
        return f"its decoder takes no {lacking[0]}"
    if not any(isinstance(layer, nn.Linear) for layer in decoder.modules()):
        return "it has no linear layers that take an adapter"
    layers = [m for m in decoder.modules() if isinstance(m, GradientCheckpointingLayer)]
    by_ids = any("input_ids" in signature(layer.forward).parameters for layer in layers)
    by_table: Any = getattr(decoder.config, "hidden_size_per_layer_input", None)
    if by_ids or by_table:
        return "its layers look up token ids, which a picture's places do not have"
    return None
