"""Small checkpoints of what a LLaVA is put together from, in their published forms."""

from pathlib import Path

import gguf
import numpy as np
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    CLIPConfig,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

SPARE, END = "<|reserved|>", "<|end|>"
LAYERS, WIDTH, HEADS, KV_HEADS = 2, 32, 4, 2


def clip_checkpoint(folder: Path) -> Path:
    """A published CLIP checkpoint's form: two towers, of which the text tower is not wanted."""
    half = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3}
    half["num_attention_heads"] = 2
    vision = {**half, "image_size": 32, "patch_size": 8}
    text = {**half, "vocab_size": 50, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def vision_checkpoint(config: PreTrainedConfig, folder: Path, side: int = 32) -> Path:
    """A vision tower by itself, with picture processing that makes squares of `side` pixels."""
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    square = {"height": side, "width": side}
    SiglipImageProcessorPil(size=square).save_pretrained(folder)
    return folder


def language_checkpoint(config: PreTrainedConfig, folder: Path) -> Path:
    """A causal language model with the tokenizer below."""
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, as Llama 3 has."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        ["what is the color of the shape in the image? USER ASSISTANT: blue rectangle"],
        trainers.BpeTrainer(
            vocab_size=300,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[END, SPARE],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, bos_token=END)


def llama_checkpoint(folder: Path) -> Path:
    """A small Llama with tied embeddings and a token that nobody uses."""
    words = tokenizer()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        tie_word_embeddings=True,
        initializer_range=0.3,
        eos_token_id=words.eos_token_id,
        bos_token_id=words.bos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_gguf(llama: Path, path: Path) -> None:
    """The same language model in llama.cpp's format, with its own order of rotary dimensions."""
    network = AutoModelForCausalLM.from_pretrained(llama)
    words = PreTrainedTokenizerFast.from_pretrained(llama)
    config, weights = network.config, network.state_dict()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    vocabulary = sorted(words.get_vocab(), key=words.get_vocab().get)
    control = [3 if token in (END, SPARE) else 1 for token in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(control)
    merges = words.backend_tokenizer.to_str()
    writer.add_token_merges([" ".join(pair) for pair in yaml.safe_load(merges)["model"]["merges"]])
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_bos_token_id(words.bos_token_id)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    inner = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for layer in range(LAYERS):
        names |= {f"model.layers.{layer}.{a}": f"blk.{layer}.{b}" for a, b in inner.items()}
    for name, short in names.items():
        values = weights[f"{name}.weight"].numpy()
        if name.endswith(("q_proj", "k_proj")):
            heads = HEADS if name.endswith("q_proj") else KV_HEADS
            split = values.reshape(heads, 2, values.shape[0] // heads // 2, -1)
            values = split.swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(f"{short}.weight", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
