"""Text encoders of one layer and their tokenizers: vocabularies of bytes or letters, built in memory."""

import string

from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.pipelines.builders.weights import network

__all__ = [
    "CHAT",
    "WIDTH",
    "byte_tokenizer",
    "clip",
    "clip_tokenizer",
    "gemma",
    "gemma_tokenizer",
    "qwen3",
    "qwen_vision",
    "t5",
    "t5_tokenizer",
    "umt5",
]

WIDTH = 16  # of every text encoder
BYTES = sorted(ByteLevel.alphabet())
CHAT = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
LAYERS = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def clip_tokenizer(length: int = 77) -> CLIPTokenizer:
    """CLIP's tokenizer with single bytes as its words."""
    words = [*BYTES, *(byte + "</w>" for byte in BYTES), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=length)


def clip(
    kind: type[CLIPTextModel] | type[CLIPTextModelWithProjection] = CLIPTextModel, seed: int = 0, width: int = WIDTH
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """A CLIP text encoder of two layers, with or without its projection to `width`."""
    words = 2 * len(BYTES) + 2
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=32,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return network(kind, config, seed)


LETTERS = string.ascii_letters + string.digits + string.punctuation


def t5_tokenizer(length: int = 512) -> T5Tokenizer:
    """T5's tokenizer with letters as its pieces."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


T5 = {
    "vocab_size": 4 + len(LETTERS),
    "d_model": WIDTH,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
}


def t5(seed: int = 0, width: int = WIDTH) -> T5EncoderModel:
    """A T5 encoder of two layers."""
    return network(T5EncoderModel, T5Config(**{**T5, "d_model": width}), seed)


def umt5(seed: int = 0) -> UMT5EncoderModel:
    """A UMT5 encoder of two layers."""
    return network(UMT5EncoderModel, UMT5Config(**T5), seed)


SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]


def byte_tokenizer(length: int = 512) -> Qwen2Tokenizer:
    """Qwen's tokenizer with single bytes as its words, and a plain chat template."""
    words = [*BYTES, *SPECIALS]
    tokenizer = Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        model_max_length=length,
        extra_special_tokens=SPECIALS[1:],
    )
    tokenizer.chat_template = CHAT
    return tokenizer


BYTE_IDS = {"vocab_size": 264, "pad_token_id": 256, "eos_token_id": 256, "bos_token_id": 256}


def qwen3(seed: int = 0) -> Qwen3Model:
    """A Qwen 3 decoder of two layers."""
    return network(Qwen3Model, Qwen3Config(**LAYERS, **BYTE_IDS), seed)


def qwen_vision(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen 2.5 VL of two layers, with a vision part of one."""
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config={**LAYERS, **BYTE_IDS, "rope_parameters": rope},
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        image_token_id=261,
        vision_start_token_id=259,
        vision_end_token_id=260,
        video_token_id=262,
    )
    return network(Qwen2_5_VLForConditionalGeneration, config, seed)


def gemma_tokenizer(length: int = 512) -> GemmaTokenizer:
    """Gemma's tokenizer with letters as its words."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", *LETTERS]
    return GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=length)


def gemma(seed: int = 0) -> Gemma2Model:
    """A Gemma 2 decoder of two layers."""
    return network(
        Gemma2Model,
        Gemma2Config(
            **LAYERS, vocab_size=7 + len(LETTERS), pad_token_id=0, eos_token_id=1, bos_token_id=2, query_pre_attn_scalar=8
        ),
        seed,
    )
