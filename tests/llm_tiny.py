"""Tiny configurations of the causal language models of transformers, family by family."""

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig

from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.lora_linear import replace_lora

# Set wherever a family has a key of this name.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "lru_width"), 32),
    **dict.fromkeys(("embedding_size", "emb_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers"), 2),
    **dict.fromkeys(("decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"), 48),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "index_topk"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("expert_ffn_hidden_size", "mamba_d_head"), 16),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk"), 2),
    **dict.fromkeys(("moe_top_k", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim"), 4),
    **dict.fromkeys(("qk_head_dim", "v_head_dim", "kv_lora_rank", "q_lora_rank", "head_dim"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "index_head_dim"), 8),
    **dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "index_n_heads"), 2),
    "vocab_size": 96,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MLA = {"num_key_value_heads": 4}
MLA_4 = {"num_key_value_heads": 4, "head_dim": 4}
TWO_KINDS = {"layer_types": ["linear_attention", "full_attention"]}
HEAD = {"head_dim": 8}
LEFT = "left as it is"
# What a family needs besides.
OWN: dict[str, dict[str, Any]] = {
    "axk1": MLA_4,
    "axk2": MLA,
    "bailing_hybrid": {**MLA, "num_hidden_layers": 2, "layer_group_size": 2},
    "bamba": {"attn_layer_indices": [1]},
    "deepseek_v2": {**MLA, "num_experts_per_tok": 2},
    "deepseek_v3": MLA_4,
    "deepseek_v32": MLA_4,
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "falcon": {"head_dim": LEFT},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "vocab_size_per_layer_input": 96,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 4,
        "activation_sparsity_pattern": None,
    },
    "glm4_moe_lite": MLA,
    "glm_moe_dsa": MLA_4,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense": HEAD,
    "hunyuan_v1_moe": HEAD,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 1},
    "kimi_linear": {**MLA, **TWO_KINDS},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "minicpm3": MLA,
    "ministral": HEAD,
    "nemotron": {**HEAD, "num_key_value_heads": 2},
    "nemotron_h": {"n_groups": 1},
    "prophetnet": {"num_hidden_layers": LEFT},
    "qwen3_5_moe_text": TWO_KINDS,
    "qwen3_5_text": TWO_KINDS,
    "qwen3_next": TWO_KINDS,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "xlnet": {"max_position_embeddings": LEFT},
    "xlstm": {"qk_head_dim": LEFT, "v_head_dim": LEFT},
    "youtu": MLA_4,
    "zamba2": {"layers_block_type": ["mamba", "hybrid"], "layer_types": ["mamba", "hybrid"]},
    "zaya": {"num_experts_per_tok": 1},
}


def tiny_config(family: str) -> PreTrainedConfig:
    """A family's configuration of a few thousand weights, where its keys have the usual names."""
    kind = CONFIG_MAPPING[family]
    default = kind()
    values = {**vars(default), **{k: vars(default).get(v) for k, v in kind.attribute_map.items()}}
    sizes = {name: size for name, size in SIZES.items() if values.get(name) is not None}
    sizes |= {name: token for name, token in TOKENS.items() if name in values}
    sizes |= OWN.get(family, {})
    return kind(**{name: size for name, size in sizes.items() if size != LEFT})


def tiny_decoder(family: str, dropout: float = 0.3) -> Any:
    """A tiny decoder in training, with adapters that do something, as `fit_for` has them."""
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(tiny_config(family), dtype=torch.float32).get_decoder()
    config = LoraConfig(r=2, lora_dropout=dropout, target_modules="all-linear")
    inject_adapter_in_model(config, llm)
    replace_dropout(llm)
    replace_lora(llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    return llm.train()
