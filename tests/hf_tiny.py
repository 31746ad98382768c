"""Tiny random checkpoints of transformers' image-text-to-text families, as folders on disk.

Each is what a published checkpoint of its family is: network, tokenizer with the family's special
tokens, picture processing, processor settings and chat template. The networks are a few thousand
weights, larger than at the usual start so that answers depend on picture and question.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForImageTextToText,
    AyaVisionConfig,
    CLIPVisionConfig,
    Cohere2Config,
    Gemma2Config,
    Gemma3Config,
    Gemma4Config,
    GemmaConfig,
    Glm4vConfig,
    Idefics3Config,
    InternVLConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaOnevisionConfig,
    Mistral3Config,
    MistralConfig,
    MllamaConfig,
    PaliGemmaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen3_5Config,
    Qwen3VLConfig,
    Qwen3VLMoeConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
)

WIDTH, SIDE, PATCH = 64, 32, 8  # of the networks; pixels of a picture and of a patch
CORPUS = (
    "is there a red circle in the image? what is the color of the shape? which shape is it? yes no",
    "describe the image. a blue rectangle, a green triangle, a yellow circle. black gray brown",
    "where is the shape? answer with the box [x, y, w, h]: [0.31, 0.20, 0.45, 0.45] user assistant",
)
QWEN = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "pad_token": "<|endoftext|>"}
GEMMA = {"eos_token": "<eos>", "bos_token": "<bos>"}
GEMMA_HEADS = {"head_dim": 8}
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
PICTURES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SQUARE = {"height": SIDE, "width": SIDE}
PINPOINTS = [[SIDE, SIDE * 2], [SIDE * 2, SIDE], [SIDE * 2, SIDE * 2]]


def text_sizes(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What every language model here has in common."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


@dataclass(frozen=True)
class Kind:
    """How a family's tiny checkpoint is made.

    Attributes:
        config: the network's configuration, given the tokenizer.
        pictures: the file preprocessor_config.json.
        processor: the file processor_config.json.
        special: the tokenizer's special tokens by the attribute they have there.
        extra: further special tokens.
        newlines: runs of newlines are tokens of their own, as Gemma's are.
        starts: the tokenizer writes its first token before each text.
        template: the chat template; None: the family has none.
        generation: values of generation_config.json; tokens by their text.
        embedding: standard deviation of the token embeddings. Where they are the head too, a large
            one would make every token repeat itself.
        spaced: a space stands before an answer.
        ends: what ends an answer; None: the special token `eos_token`.
        stops: further tokens at which the published model stops.
        crops: the model sees the middle of a picture; otherwise all of it.
        margins: the model sees margins at the right of a picture or below it.
        whole: which of a picture's tiles shows all of it; None: patches in groups of 2 x 2.
    """

    config: Callable[[PreTrainedTokenizerFast], PreTrainedConfig]
    pictures: dict[str, Any]
    processor: dict[str, Any]
    special: dict[str, str]
    extra: tuple[str, ...] = ()
    newlines: bool = False
    starts: bool = False
    template: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    embedding: float = 0.3
    spaced: bool = False
    ends: str | None = None
    stops: tuple[str, ...] = ()
    crops: bool = False
    margins: bool = False
    whole: int | None = 0

    @property
    def end(self) -> str:
        """The token that ends an answer."""
        return self.ends or self.special.get("eos_token", "</s>")


def words(kind: Kind) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a few merges, ASCII only, and the family's special tokens."""
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", **kind.special}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ascii_bytes = [c for c in pre_tokenizers.ByteLevel.alphabet() if ord(c) < 127] + ["Ġ", "Ċ"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=ascii_bytes,
        special_tokens=[*dict.fromkeys([*special.values(), *kind.extra])],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if kind.newlines:
        tokenizer.add_tokens(["\n" * n for n in range(1, 5)])
    if kind.starts:
        start = special["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
        )
    named = {k: v for k, v in special.items() if k in ("pad_token", "bos_token", "eos_token")}
    others = {k: v for k, v in special.items() if k not in named}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **named,
        extra_special_tokens=others,
        clean_up_tokenization_spaces=False,
    )


def llava_kind() -> Kind:
    """LLaVA 1.5: CLIP without its last layer, no end of turn in the template."""
    return Kind(
        config=lambda t: LlavaConfig(
            vision_config=CLIPVisionConfig(**VISION),
            text_config=LlamaConfig(**text_sizes(t)),
            image_token_index=t.image_token_id,
            image_seq_length=(SIDE // PATCH) ** 2,
        ),
        pictures={
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": SIDE},
            "crop_size": SQUARE,
            **PICTURES,
        },
        processor={
            "processor_class": "LlavaProcessor",
            "patch_size": PATCH,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
        },
        special={"image_token": "<image>"},
        starts=True,
        spaced=True,
        crops=True,
        template=(
            "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
            "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}"
            "{% endfor %}{% for part in message['content'] if part['type'] == 'text' %}"
            "{{ part['text'] + ' ' }}{% endfor %}{% endfor %}"
            "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
        ),
    )


def llava_next_kind() -> Kind:
    """LLaVA-NeXT: tiles of the picture beside the whole, Mistral's turns."""
    return Kind(
        config=lambda t: LlavaNextConfig(
            vision_config=CLIPVisionConfig(**VISION),
            text_config=LlamaConfig(**text_sizes(t)),
            image_token_index=t.image_token_id,
            image_grid_pinpoints=PINPOINTS,
        ),
        pictures={
            "image_processor_type": "LlavaNextImageProcessor",
            "size": {"shortest_edge": SIDE},
            "crop_size": SQUARE,
            "image_grid_pinpoints": PINPOINTS,
            **PICTURES,
        },
        processor={
            "processor_class": "LlavaNextProcessor",
            "patch_size": PATCH,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
        },
        special={"image_token": "<image>"},
        starts=True,
        spaced=True,
        template=(
            "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\\n' }}"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ ' [/INST]' }}{% else %}"
            "{{ ' ' + message['content'][0]['text'] + eos_token }}{% endif %}{% endfor %}"
        ),
    )


def llava_onevision_kind() -> Kind:
    """LLaVA-OneVision: SigLIP, tiles, Qwen's turns, written otherwise before an answer."""
    return Kind(
        config=lambda t: LlavaOnevisionConfig(
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
            text_config=Qwen2Config(**text_sizes(t)),
            image_token_index=t.image_token_id,
            video_token_index=t.video_token_id,
            image_grid_pinpoints=PINPOINTS,
        ),
        pictures={
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "size": SQUARE,
            "image_grid_pinpoints": PINPOINTS,
            **PICTURES,
        },
        processor={
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": (SIDE // PATCH) ** 2,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_9",
        },
        special={**QWEN, "image_token": "<image>", "video_token": "<video>"},
        template=(
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
            "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}"
            "{% endfor %}{% for part in message['content'] if part['type'] == 'text' %}"
            "{{ '\\n' + part['text'] }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        ),
    )


def idefics_kind(config: type[PreTrainedConfig], name: str) -> Kind:
    """Idefics3 and SmolVLM: rows and columns of tiles, each between marks."""
    return Kind(
        config=lambda t: config(
            vision_config=VISION,
            text_config=LlamaConfig(**text_sizes(t)),
            image_token_id=t.convert_tokens_to_ids("<image>"),
            scale_factor=2,
        ),
        pictures={
            "image_processor_type": f"{name}ImageProcessor",
            "size": {"longest_edge": 2 * SIDE},
            "max_image_size": {"longest_edge": SIDE},
            "do_image_splitting": True,
            **PICTURES,
        },
        processor={"processor_class": f"{name}Processor", "image_seq_len": 4},
        special={"eos_token": "<end_of_utterance>", "bos_token": "<|im_start|>"},
        extra=(
            "<image>",
            "<fake_token_around_image>",
            "<global-img>",
            *(f"<row_{i}_col_{j}>" for i in range(1, 3) for j in range(1, 3)),
        ),
        spaced=True,
        whole=-1,
        template=(
            "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
            "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}"
            "{% endif %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
            "{{ part['text'] }}{% else %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
            "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
        ),
    )


def qwen_kind(
    config: type[PreTrainedConfig],
    name: str,
    vision: dict[str, Any],
    text: dict[str, Any] | None = None,
) -> Kind:
    """Qwen2-VL to Qwen3.5: any picture size, positions in three dimensions."""
    return Kind(
        config=lambda t: config(
            vision_config={
                "depth": 2,
                "num_heads": 2,
                "patch_size": PATCH,
                "spatial_merge_size": 2,
                **vision,
            },
            text_config={
                **text_sizes(t),
                "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
                **(text or {}),
            },
            image_token_id=t.image_token_id,
            video_token_id=t.video_token_id,
            vision_start_token_id=t.convert_tokens_to_ids("<|vision_start|>"),
            vision_end_token_id=t.convert_tokens_to_ids("<|vision_end|>"),
        ),
        pictures={
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": PATCH,
            "merge_size": 2,
            "size": {"shortest_edge": SIDE * SIDE // 4, "longest_edge": 4 * SIDE * SIDE},
            **PICTURES,
        },
        processor={"processor_class": f"{name}Processor"},
        special={**QWEN, "image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        extra=("<|vision_start|>", "<|vision_end|>"),
        whole=None,
        template=(
            "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
            "<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
        generation={"do_sample": True, "temperature": 0.1, "repetition_penalty": 1.5},
    )


def paligemma_kind(text: type[PreTrainedConfig], **more: Any) -> Kind:
    """PaliGemma: a prefix that sees all of itself; no turns, no chat template."""
    return Kind(
        config=lambda t: PaliGemmaConfig(
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
            # 1,152 tokens for places and masks, which the processor knows too
            text_config=text(
                **{**text_sizes(t), "vocab_size": len(t) + 1152}, **GEMMA_HEADS, **more
            ),
            image_token_index=t.image_token_id,
            projection_dim=WIDTH,
            hidden_size=WIDTH,
        ),
        pictures={
            "image_processor_type": "SiglipImageProcessor",
            "size": SQUARE,
            "image_seq_length": (SIDE // PATCH) ** 2,
            **PICTURES,
        },
        processor={"processor_class": "PaliGemmaProcessor"},
        special={**GEMMA, "image_token": "<image>"},
        newlines=True,
        starts=True,
        embedding=0.05,
    )


def internvl_kind() -> Kind:
    """InternVL: tiles and a thumbnail between marks."""
    return Kind(
        config=lambda t: InternVLConfig(
            vision_config={**VISION, "image_size": [SIDE] * 2, "patch_size": [PATCH] * 2},
            text_config=Qwen2Config(**text_sizes(t)),
            image_token_id=t.convert_tokens_to_ids("<IMG_CONTEXT>"),
            image_seq_length=4,
            tie_word_embeddings=False,
        ),
        pictures={
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": SQUARE,
            "crop_to_patches": False,  # the processor asks for it by itself
            "max_patches": 4,
            **PICTURES,
        },
        processor={"processor_class": "InternVLProcessor", "image_seq_length": 4},
        special={
            **QWEN,
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        whole=-1,
        template=(
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
            "{{ '<IMG_CONTEXT>\\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
            "{{ '<|im_end|>\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        ),
    )


def gemma3_kind() -> Kind:
    """Gemma 3: pictures see all of themselves, a short window in the first layer."""
    return Kind(
        config=lambda t: Gemma3Config(
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
            text_config={
                **text_sizes(t),
                **GEMMA_HEADS,
                "sliding_window": 24,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            mm_tokens_per_image=4,
            boi_token_index=t.boi_token_id,
            eoi_token_index=t.eoi_token_id,
            image_token_index=t.image_token_id,
        ),
        pictures={"image_processor_type": "Gemma3ImageProcessor", "size": SQUARE, **PICTURES},
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 4},
        special={
            **GEMMA,
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        extra=("<start_of_turn>", "<end_of_turn>"),
        newlines=True,
        starts=True,
        ends="<end_of_turn>",
        stops=("<eos>",),
        template=(
            "{{ bos_token }}{% for message in messages %}"
            "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
            "{{ '<start_of_turn>' + role + '\\n' }}{% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}"
            "{{ part['text'] | trim }}{% endif %}{% endfor %}{{ '<end_of_turn>\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
        ),
        generation={"eos_token_id": "<end_of_turn>"},
        embedding=0.01,
    )


def glm4v_kind() -> Kind:
    """GLM-4.1V: Qwen's positions, turns without an end of their own."""
    return Kind(
        config=lambda t: Glm4vConfig(
            vision_config={
                "depth": 2,
                "num_heads": 2,
                "patch_size": PATCH,
                "image_size": SIDE,
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "out_hidden_size": WIDTH,
            },
            text_config={
                **text_sizes(t),
                "rope_parameters": {
                    "rope_type": "default",
                    "mrope_section": [1, 1, 2],
                    "partial_rotary_factor": 0.5,
                },
            },
            image_token_id=t.image_token_id,
            video_token_id=t.video_token_id,
            image_start_token_id=t.convert_tokens_to_ids("<|begin_of_image|>"),
            image_end_token_id=t.convert_tokens_to_ids("<|end_of_image|>"),
        ),
        pictures={
            "image_processor_type": "Glm4vImageProcessor",
            "patch_size": PATCH,
            "merge_size": 2,
            "size": {"shortest_edge": SIDE * SIDE // 4, "longest_edge": 8 * SIDE * SIDE},
            **PICTURES,
        },
        processor={"processor_class": "Glm4vProcessor"},
        special={
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "bos_token": "[gMASK]",
            "image_token": "<|image|>",
            "video_token": "<|video|>",
        },
        extra=("<|begin_of_image|>", "<|end_of_image|>", "<sop>", "<|user|>", "<|assistant|>"),
        whole=None,
        template=(
            "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
            "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part['text'] }}{% endif %}"
            "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        ),
        generation={"eos_token_id": "<|user|>"},
        stops=("<|user|>",),
    )


def aya_kind() -> Kind:
    """Aya Vision: SigLIP, tiles between marks, Cohere's language model."""
    return Kind(
        config=lambda t: AyaVisionConfig(
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
            text_config=Cohere2Config(
                **text_sizes(t),
                sliding_window=24,
                layer_types=["sliding_attention", "full_attention"],
            ),
            image_token_index=t.convert_tokens_to_ids("<|IMG_PATCH|>"),
        ),
        pictures={
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": SQUARE,
            "crop_to_patches": False,  # the processor asks for it by itself
            "max_patches": 4,
            **PICTURES,
        },
        processor={
            "processor_class": "AyaVisionProcessor",
            "patch_size": PATCH,
            "img_size": SIDE,
            "downsample_factor": 2,
        },
        special={
            "bos_token": "<BOS_TOKEN>",
            "eos_token": "<|END_OF_TURN_TOKEN|>",
            "pad_token": "<PAD>",
        },
        extra=(
            "<image>",
            "<|START_OF_IMG|>",
            "<|END_OF_IMG|>",
            "<|IMG_PATCH|>",
            "<|START_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            *(f"TILE_{i}" for i in range(1, 5)),
            "TILE_GLOBAL",
        ),
        starts=True,
        whole=-1,
        template=(
            "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>"
            "{{ '<|USER_TOKEN|>' if message['role'] == 'user' else '<|CHATBOT_TOKEN|>' }}"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|END_OF_TURN_TOKEN|>{% endfor %}"
            "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
        ),
        embedding=0.05,
    )


def gemma4_kind() -> Kind:
    """Gemma 4: any picture size, pictures see all of themselves, inputs of each layer."""
    return Kind(
        config=lambda t: Gemma4Config(
            vision_config={
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 32,
                "patch_size": 4,
                "position_embedding_size": 256,
            },
            text_config={
                **text_sizes(t),
                **GEMMA_HEADS,
                "global_head_dim": 8,
                "sliding_window": 24,
                "layer_types": ["sliding_attention", "full_attention"],
                "vocab_size_per_layer_input": len(t),
                "hidden_size_per_layer_input": 8,
                "use_bidirectional_attention": "vision",
                "final_logit_softcapping": 3.0,
            },
            audio_config=None,
            boi_token_id=t.boi_token_id,
            eoi_token_id=t.eoi_token_id,
            image_token_id=t.image_token_id,
            video_token_id=t.convert_tokens_to_ids("<|video|>"),
            audio_token_id=t.audio_token_id,
        ),
        pictures={
            "image_processor_type": "Gemma4ImageProcessor",
            "patch_size": 4,
            "pooling_kernel_size": 3,
            "max_soft_tokens": 70,
            **PICTURES,
        },
        processor={"processor_class": "Gemma4Processor", "image_seq_length": 70},
        special={
            **GEMMA,
            "image_token": "<|image|>",
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
        },
        extra=("<|turn>", "<turn|>", "<|video|>"),
        newlines=True,
        starts=True,
        ends="<turn|>",
        stops=("<eos>",),
        whole=None,
        template=(
            "{{ bos_token }}{% for message in messages %}"
            "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
            "{{ '<|turn>' + role + '\n' }}{% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}"
            "{{ part['text'] | trim }}{% endif %}{% endfor %}{{ '<turn|>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}"
        ),
        generation={"eos_token_id": "<turn|>"},
        embedding=0.01,
    )


def mistral3_kind() -> Kind:
    """Mistral 3: Pixtral's rows of patches of any picture size, each with its end."""
    return Kind(
        config=lambda t: Mistral3Config(
            vision_config={**VISION, "model_type": "pixtral", "image_size": 2 * SIDE},
            text_config=MistralConfig(**text_sizes(t), head_dim=16, sliding_window=None),
            image_token_index=t.convert_tokens_to_ids("[IMG]"),
            spatial_merge_size=2,
            tie_word_embeddings=False,
        ),
        pictures={
            "image_processor_type": "PixtralImageProcessor",
            "patch_size": PATCH,
            "size": {"longest_edge": 2 * SIDE},
            **PICTURES,
        },
        processor={
            "processor_class": "PixtralProcessor",
            "patch_size": PATCH,
            "spatial_merge_size": 2,
        },
        special={},
        extra=("[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"),
        starts=True,
        template=(
            "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST]"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}[/INST]{% else %}"
            "{{ message['content'][0]['text'] + eos_token }}{% endif %}{% endfor %}"
        ),
    )


def mllama_kind() -> Kind:
    """Llama 3.2 Vision: tiles that some layers attend to beside the text."""
    return Kind(
        config=lambda t: MllamaConfig(
            vision_config={
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "attention_heads": 2,
                "image_size": SIDE,
                "patch_size": PATCH,
                "intermediate_layers_indices": [0, 1],
                "vision_output_dim": 3 * WIDTH,
            },
            text_config={**text_sizes(t), "cross_attention_layers": [1]},
            image_token_index=t.convert_tokens_to_ids("<|image|>"),
        ),
        pictures={
            "image_processor_type": "MllamaImageProcessor",
            "size": SQUARE,
            "max_image_tiles": 4,
            **PICTURES,
        },
        processor={"processor_class": "MllamaProcessor"},
        special={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
            "pad_token": "<|finetune_right_pad_id|>",
        },
        extra=(
            "<|image|>",
            "<|python_tag|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|end_of_text|>",
            "<|eom_id|>",
        ),
        starts=True,
        stops=("<|end_of_text|>", "<|eom_id|>"),
        margins=True,
        template=(
            "{{ bos_token }}{% for message in messages %}"
            "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}<|image|>"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
            "{% endif %}"
        ),
        generation={"eos_token_id": ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]},
    )


QWEN3_VISION = {
    "hidden_size": WIDTH,
    "out_hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_position_embeddings": 16,
}
KINDS: dict[str, Callable[[], Kind]] = {
    "llava": llava_kind,
    "llava_next": llava_next_kind,
    "llava_onevision": llava_onevision_kind,
    "idefics3": lambda: idefics_kind(Idefics3Config, "Idefics3"),
    "smolvlm": lambda: idefics_kind(SmolVLMConfig, "SmolVLM"),
    "qwen2_vl": lambda: qwen_kind(
        Qwen2VLConfig, "Qwen2VL", {"embed_dim": WIDTH, "hidden_size": WIDTH, "mlp_ratio": 2}
    ),
    "qwen2_5_vl": lambda: qwen_kind(
        Qwen2_5_VLConfig,
        "Qwen2_5_VL",
        {
            "hidden_size": WIDTH,
            "out_hidden_size": WIDTH,
            "intermediate_size": WIDTH,
            "window_size": 4 * PATCH,
            "fullatt_block_indexes": [1],
        },
    ),
    "qwen3_vl": lambda: qwen_kind(
        Qwen3VLConfig,
        "Qwen3VL",
        {**QWEN3_VISION, "deepstack_visual_indexes": [0]},
        {"head_dim": 16},
    ),
    "qwen3_vl_moe": lambda: qwen_kind(
        Qwen3VLMoeConfig,
        "Qwen3VL",
        {**QWEN3_VISION, "deepstack_visual_indexes": [0]},
        {
            "head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "decoder_sparse_step": 1,
        },
    ),
    "qwen3_5": lambda: qwen_kind(
        Qwen3_5Config,
        "Qwen3VL",
        QWEN3_VISION,
        {
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "partial_rotary_factor": 0.5,
            },
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
    ),
    "paligemma": lambda: paligemma_kind(GemmaConfig),
    "paligemma2": lambda: paligemma_kind(
        Gemma2Config, sliding_window=16, query_pre_attn_scalar=8, final_logit_softcapping=3.0
    ),
    "internvl": internvl_kind,
    "gemma3": gemma3_kind,
    "glm4v": glm4v_kind,
    "aya_vision": aya_kind,
    "gemma4": gemma4_kind,
    "mistral3": mistral3_kind,
    "mllama": mllama_kind,
}
FAMILIES = tuple(KINDS)


def tiny_checkpoint(family: str, folder: Path) -> Path:
    """Write a tiny random checkpoint of a family into a folder, the same at every call."""
    kind = KINDS[family]()
    tokenizer = words(kind)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForImageTextToText.from_config(kind.config(tokenizer))
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.2)
                elif name.endswith("gate"):  # Llama's start closed: no picture would come through
                    parameter.fill_(0.5)
            network.get_input_embeddings().weight.normal_(std=kind.embedding)
    for key, value in kind.generation.items():
        is_token = key.endswith("token_id")
        chosen = tokenizer.convert_tokens_to_ids(value) if is_token else value
        setattr(network.generation_config, key, chosen)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(kind.pictures))
    (folder / "processor_config.json").write_text(json.dumps(kind.processor))
    if kind.template is not None:
        (folder / "chat_template.jinja").write_text(kind.template)
    return folder
