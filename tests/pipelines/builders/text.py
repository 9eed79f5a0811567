"""Text encoders of two layers and their tokenizers: vocabularies of bytes or letters, built in memory."""

import string
from typing import Any

import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    ByT5Tokenizer,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaConfig,
    GemmaModel,
    GemmaTokenizer,
    GlmConfig,
    GlmModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Mistral3Model,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaConfig
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from tests.pipelines.builders.tiny import pictures
from tests.pipelines.builders.weights import network

__all__ = [
    "CHAT",
    "WIDTH",
    "bert",
    "bert_tokenizer",
    "byt5",
    "byt5_tokenizer",
    "byte_tokenizer",
    "clip",
    "clip_processor",
    "clip_tokenizer",
    "clip_vision",
    "gemma",
    "gemma_1",
    "gemma_tokenizer",
    "glm",
    "llama",
    "mistral",
    "qwen3",
    "qwen_2_vision",
    "qwen_3_vision",
    "qwen_vision",
    "seen",
    "smol",
    "text_processor",
    "t5",
    "t5_gemma",
    "t5_tokenizer",
    "umt5",
]

WIDTH = 16  # of every text encoder
BYTES = sorted(ByteLevel.alphabet())
CHAT = (
    "{% for m in messages %}<|im_start|>"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}"
    "<|im_end|>{% endfor %}"
)
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


def opening(token: str, number: int) -> TemplateProcessing:
    """Puts the special token before each text."""
    return TemplateProcessing(single=f"{token} $A", special_tokens=[(token, number)])


SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]


def byte_tokenizer(length: int = 512, opened: bool = False) -> Qwen2Tokenizer:
    """Qwen's tokenizer with single bytes as its words, and a plain chat template.

    Each text starts with a special token if `opened`, so that the empty one is not without tokens.
    """
    words = [*BYTES, *SPECIALS]
    tokenizer = Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        model_max_length=length,
        extra_special_tokens=SPECIALS[1:],
    )
    tokenizer.chat_template = CHAT
    if opened:
        tokenizer.backend_tokenizer.post_processor = opening("<|im_start|>", 257)
    return tokenizer


BYTE_IDS = {"vocab_size": 264, "pad_token_id": 256, "eos_token_id": 256, "bos_token_id": 256}


def qwen3(kind: type[Qwen3Model] | type[Qwen3ForCausalLM] = Qwen3Model) -> Qwen3Model | Qwen3ForCausalLM:
    """A Qwen 3 decoder of two layers."""
    return network(kind, Qwen3Config(**LAYERS, **BYTE_IDS))


def smol() -> SmolLM3ForCausalLM:
    """A SmolLM 3 decoder of two layers."""
    return network(SmolLM3ForCausalLM, SmolLM3Config(**LAYERS, **BYTE_IDS))


def llama(
    kind: type[LlamaModel] | type[LlamaForCausalLM] = LlamaModel, layers: int = 2
) -> LlamaModel | LlamaForCausalLM:
    """A Llama decoder, two layers by default."""
    config = {**LAYERS, **BYTE_IDS, "num_hidden_layers": layers, "attn_implementation": "eager"}
    return network(kind, LlamaConfig(**config))


def glm() -> GlmModel:
    """A GLM decoder of two layers."""
    return network(GlmModel, GlmConfig(**LAYERS, **BYTE_IDS))


def mistral(
    kind: type[Mistral3Model] | type[Mistral3ForConditionalGeneration] = Mistral3ForConditionalGeneration,
) -> Mistral3Model | Mistral3ForConditionalGeneration:
    """A Mistral 3 of two layers, with a vision part of one."""
    seeing = {
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
        "image_size": 16,
        "patch_size": 8,
        "model_type": "pixtral",
    }
    reading = {**LAYERS, **BYTE_IDS, "model_type": "mistral"}
    return network(kind, Mistral3Config(text_config=reading, vision_config=seeing, image_token_index=261))


ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
PICTURE_IDS = {"image_token_id": 261, "vision_start_token_id": 259, "vision_end_token_id": 260, "video_token_id": 262}


def qwen_vision(layers: int = 2) -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen 2.5 VL, two layers by default, with a vision part of one."""
    seeing = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    reading = {**LAYERS, **BYTE_IDS, "num_hidden_layers": layers, "rope_parameters": ROPE}
    config = Qwen2_5_VLConfig(text_config=reading, vision_config=seeing, **PICTURE_IDS)
    return network(Qwen2_5_VLForConditionalGeneration, config)


def qwen_2_vision() -> Qwen2VLForConditionalGeneration:
    """A Qwen 2 VL of two layers, with a vision part of one."""
    seeing = {"depth": 1, "embed_dim": WIDTH, "hidden_size": WIDTH, "num_heads": 2, "mlp_ratio": 2}
    reading = {**LAYERS, **BYTE_IDS, "rope_parameters": ROPE}
    config = Qwen2VLConfig(text_config=reading, vision_config=seeing, **PICTURE_IDS)
    return network(Qwen2VLForConditionalGeneration, config)


def qwen_3_vision(
    kind: type[Qwen3VLModel] | type[Qwen3VLForConditionalGeneration] = Qwen3VLModel, layers: int = 2
) -> Qwen3VLModel | Qwen3VLForConditionalGeneration:
    """A Qwen 3 VL, two layers by default, with a vision part of one."""
    seeing = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
    }
    reading = {**LAYERS, **BYTE_IDS, "num_hidden_layers": layers, "rope_parameters": ROPE}
    return network(kind, Qwen3VLConfig(text_config=reading, vision_config=seeing, **PICTURE_IDS))


def gemma_tokenizer(length: int = 512) -> GemmaTokenizer:
    """Gemma's tokenizer with letters as its words."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", *LETTERS]
    tokenizer = GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=length)
    tokenizer.backend_tokenizer.post_processor = opening("<bos>", 2)
    return tokenizer


GEMMA = {**LAYERS, "vocab_size": 7 + len(LETTERS), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}


def gemma() -> Gemma2Model:
    """A Gemma 2 decoder of two layers."""
    return network(Gemma2Model, Gemma2Config(**GEMMA, query_pre_attn_scalar=8))


def gemma_1() -> GemmaModel:
    """A Gemma decoder of two layers."""
    return network(GemmaModel, GemmaConfig(**GEMMA))


def t5_gemma() -> T5GemmaEncoder:
    """A T5-Gemma encoder of two layers."""
    half = {**GEMMA, "query_pre_attn_scalar": 8}
    config = T5GemmaConfig(encoder=half, decoder={**half, "cross_attention_hidden_size": WIDTH})
    return network(T5GemmaEncoder, config.encoder)


def bert_tokenizer(length: int = 77) -> BertTokenizer:
    """BERT's tokenizer with letters as its pieces."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS)]
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=length)


def clip_vision(
    kind: type[CLIPVisionModel] | type[CLIPVisionModelWithProjection] = CLIPVisionModelWithProjection,
    side: int = 16,
) -> CLIPVisionModel | CLIPVisionModelWithProjection:
    """CLIP's picture encoder with two layers, for pictures of `side`², with or without its projection."""
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=32,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=side // 2,
    )
    return network(kind, config)


def clip_processor() -> CLIPImageProcessorPil:
    """CLIP's preparation of pictures, to 16×16."""
    return CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def seen(side: int = 16) -> tuple[Image.Image, ...]:
    """Three different pictures as PIL images of side × side."""
    images = (255 * torch.cat(pictures(3, side, side))).byte().permute(0, 2, 3, 1).numpy()
    return tuple(Image.fromarray(image) for image in images)


def bert() -> BertModel:
    """A BERT of two layers."""
    config = BertConfig(
        vocab_size=5 + 2 * len(LETTERS),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return network(BertModel, config)


def byt5_tokenizer() -> ByT5Tokenizer:
    """ByT5's tokenizer, whose words are bytes."""
    return ByT5Tokenizer(extra_ids=0)


def byt5() -> T5EncoderModel:
    """A ByT5 encoder of two layers."""
    return network(T5EncoderModel, T5Config(**{**T5, "vocab_size": 259}))


class TextProcessor:
    """The text half of a processor of text and pictures: the half with pictures wants torchvision."""

    def __init__(self) -> None:
        self.tokenizer = byte_tokenizer(2048)

    def __call__(self, text: Any, images: None = None, videos: None = None, **how: Any) -> Any:
        return self.tokenizer(text, **how)

    def decode(self, tokens: Any) -> str:
        return self.tokenizer.decode(tokens)

    def apply_chat_template(self, messages: Any, **how: Any) -> Any:
        return self.tokenizer.apply_chat_template(messages, **how)


def text_processor() -> TextProcessor:
    """A processor for words alone."""
    return TextProcessor()
