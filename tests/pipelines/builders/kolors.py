"""Kolors: Stable Diffusion XL's U-Net, with ChatGLM and its own tokenizer for text."""

import atexit
import io
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from sentencepiece import SentencePieceTrainer

from tests.pipelines.builders import autoencoders
from tests.pipelines.builders.text import LETTERS, WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.unets import PLAIN, STABLE, XL
from tests.pipelines.builders.weights import network

with warnings.catch_warnings():  # its text encoder is compiled by a part of torch that warns of its end
    warnings.simplefilter("ignore", DeprecationWarning)
    from diffusers import KolorsPAGPipeline, KolorsPipeline
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

__all__ = ["kolors", "kolors_pag"]

FOLDER = Path(tempfile.mkdtemp(prefix="fewstep-tests-"))  # the tokenizer keeps the name of its file
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


@cache
def pieces() -> str:
    """The name of a file of sentencepiece whose pieces are letters."""
    model = io.BytesIO()
    lines = [" ".join(LETTERS[i : i + 10]) for i in range(0, len(LETTERS), 10)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="char",
        vocab_size=4 + len(LETTERS),
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    path = FOLDER / "tokenizer.model"
    path.write_bytes(model.getvalue())
    return str(path)


def parts() -> dict[str, object]:
    """The parts that Kolors's pipelines share."""
    tokenizer = ChatGLMTokenizer(pieces())
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=256,
        hidden_size=WIDTH,
        ffn_hidden_size=32,
        kv_channels=8,
        num_attention_heads=2,
        seq_length=32,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        original_rope=True,
    )
    changes = {
        "cross_attention_dim": WIDTH,
        "projection_class_embeddings_input_dim": 6 * 4 + WIDTH,
        "encoder_hid_dim": WIDTH,
        "encoder_hid_dim_type": "text_proj",
    }
    return {
        "vae": autoencoders.picture(),
        "text_encoder": network(ChatGLMModel, config),
        "tokenizer": tokenizer,
        "unet": network(UNet2DConditionModel, {**XL, **changes}),
        "scheduler": EulerDiscreteScheduler(**STABLE),
    }


CALL = {**PLAIN, "guidance_scale": 5.0, "max_sequence_length": 32}


def kolors() -> Tiny:
    """Kolors."""
    return tiny(KolorsPipeline(**parts()), CALL)


def kolors_pag() -> Tiny:
    """Kolors with perturbed-attention guidance: three passes."""
    return tiny(KolorsPAGPipeline(**parts()), {**CALL, "pag_scale": 3.0})
