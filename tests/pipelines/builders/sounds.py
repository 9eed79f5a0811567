"""Pipelines of sound: Stable Audio, AudioLDM 2, ACE-Step, LongCat."""

from diffusers import (
    AceStepPipeline,
    AceStepTransformer1DModel,
    AudioLDM2Pipeline,
    AutoencoderKL,
    DDIMScheduler,
    EDMDPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    LongCatAudioDiTPipeline,
    LongCatAudioDiTTransformer,
    LongCatAudioDiTVae,
    StableAudioDiTModel,
    StableAudioPipeline,
    StableAudioProjectionModel,
)
from diffusers.pipelines.ace_step.modeling_ace_step import AceStepConditionEncoder
from diffusers.pipelines.audioldm2.modeling_audioldm2 import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from tests.pipelines.builders import autoencoders_video, text
from tests.pipelines.builders.text import BYTES, WIDTH
from tests.pipelines.builders.tiny import Tiny, tiny
from tests.pipelines.builders.unets import STABLE
from tests.pipelines.builders.weights import network

__all__ = ["ace_step", "audioldm_2", "longcat_audio", "stable_audio"]


def stable_audio() -> Tiny:
    """Stable Audio with EDM's DPM-Solver++ (its cosine scheduler wants torchsde); seconds are a condition too."""
    config = {
        "sample_size": 4,
        "in_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "num_key_value_attention_heads": 1,
        "out_channels": 4,
        "cross_attention_dim": 16,
        "time_proj_dim": 8,
        "global_states_input_dim": 2 * WIDTH,
        "cross_attention_input_dim": WIDTH,
    }
    seconds = {"text_encoder_dim": WIDTH, "conditioning_dim": WIDTH, "min_value": 0, "max_value": 32}
    pipe = StableAudioPipeline(
        vae=autoencoders_video.sound(),
        text_encoder=text.t5(),
        projection_model=network(StableAudioProjectionModel, seconds),
        tokenizer=text.t5_tokenizer(32),
        transformer=network(StableAudioDiTModel, config),
        scheduler=EDMDPMSolverMultistepScheduler(
            sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, sigma_schedule="exponential", prediction_type="v_prediction"
        ),
    )
    return tiny(pipe, {"output_type": "latent", "guidance_scale": 7.0, "audio_end_in_s": 0.5})


def roberta_tokenizer() -> RobertaTokenizer:
    """RoBERTa's tokenizer with single bytes as its words."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *BYTES]
    return RobertaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=32)


def audioldm_2() -> Tiny:
    """AudioLDM 2: a GPT-2 writes part of the condition, from CLAP and T5."""
    reading = {
        "vocab_size": 261,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "projection_dim": WIDTH,
    }
    hearing = {
        "spec_size": 32,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "num_mel_bins": 8,
        "window_size": 4,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "patch_embeds_hidden_size": WIDTH,
        "hidden_size": 2 * WIDTH,
        "projection_dim": WIDTH,
    }
    unet = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": (None, WIDTH),
        "attention_head_dim": 2,
        "sample_size": 8,
    }
    sizes = {"text_encoder_dim": WIDTH, "text_encoder_1_dim": WIDTH, "langauge_model_dim": WIDTH}
    picture = {
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
    }
    voice = SpeechT5HifiGanConfig(
        model_in_dim=8,
        sampling_rate=64,
        upsample_initial_channel=8,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        normalize_before=False,
    )
    writing = GPT2Config(
        vocab_size=8, n_positions=128, n_embd=WIDTH, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    pipe = AudioLDM2Pipeline(
        vae=network(AutoencoderKL, picture),
        text_encoder=network(ClapModel, ClapConfig(text_config=reading, audio_config=hearing, projection_dim=WIDTH)),
        text_encoder_2=text.t5(),
        projection_model=network(AudioLDM2ProjectionModel, sizes),
        language_model=network(GPT2LMHeadModel, writing),
        tokenizer=roberta_tokenizer(),
        tokenizer_2=text.t5_tokenizer(32),
        feature_extractor=ClapFeatureExtractor(feature_size=8),
        unet=network(AudioLDM2UNet2DConditionModel, unet),
        scheduler=DDIMScheduler(**STABLE, clip_sample=False),
        vocoder=network(SpeechT5HifiGan, voice),
    )
    call = {"output_type": "latent", "guidance_scale": 3.5, "audio_length_in_s": 1.0, "max_new_tokens": 2}
    return tiny(pipe, call)


def ace_step() -> Tiny:
    """ACE-Step: music from a caption and lyrics, projected guidance."""
    layers = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "sliding_window": 4,
    }
    network_config = {
        **layers,
        "num_hidden_layers": 2,
        "in_channels": 12,
        "audio_acoustic_hidden_dim": 4,
    }
    condition = {
        **layers,
        "text_hidden_dim": WIDTH,
        "timbre_hidden_dim": 4,
        "num_lyric_encoder_hidden_layers": 1,
        "num_timbre_encoder_hidden_layers": 1,
    }
    pipe = AceStepPipeline(
        vae=autoencoders_video.sound(),
        text_encoder=text.qwen3(),
        tokenizer=text.byte_tokenizer(),
        transformer=network(AceStepTransformer1DModel, network_config),
        condition_encoder=network(AceStepConditionEncoder, condition),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
    )
    call = {"output_type": "latent", "guidance_scale": 7.0, "audio_duration": 1.0, "lyrics": "la la"}
    return tiny(pipe, call, note="momentum in its guidance")


def longcat_audio() -> Tiny:
    """LongCat's sound from text: a flow of latents, frames before channels."""
    config = {"dit_dim": 16, "dit_depth": 2, "dit_heads": 2, "dit_text_dim": WIDTH, "latent_dim": 4, "ff_mult": 2.0}
    sound = {
        "channels": 4,
        "c_mults": [1, 2],
        "strides": [2, 4],
        "latent_dim": 4,
        "encoder_latent_dim": 8,
        "downsampling_ratio": 8,
        "sample_rate": 64,
    }
    pipe = LongCatAudioDiTPipeline(
        vae=network(LongCatAudioDiTVae, sound),
        text_encoder=text.umt5(),
        tokenizer=text.t5_tokenizer(32),
        transformer=network(LongCatAudioDiTTransformer, config),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    return tiny(pipe, {"output_type": "latent", "guidance_scale": 4.0, "audio_duration_s": 1.0})
