"""Networks opened from folders against the same networks called by hand, as diffusers' pipelines call them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler

from fewstep import sample, solvers
from fewstep.errors import InvalidInput
from fewstep.models import folder
from fewstep.models.decoupled import TIME_SCALE
from fewstep.models.network import NetworkDenoiser, Plain
from fewstep.processes import DDM, Discrete
from tests.fewstep.models.tiny import shaken, states, text_unet, unet
from tests.fewstep.models.truths import LATENT, Save, agree, data, manifest


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_an_unconditional_network_is_read_as_its_scheduler_says(save: Save, kind: str) -> None:
    """ε, x_0 and v: the folder's denoiser is the network's output turned into data."""
    network = shaken(unet())
    denoiser = folder.open(save(network, DDPMScheduler(prediction_type=kind)))
    x, t = states(1, 8, 8)
    t = 999 * t
    assert denoiser.process == Discrete.linear_betas()
    assert denoiser.passes == 1
    with torch.no_grad():
        agree(denoiser(x, t), data(denoiser, network(x, t).sample, x, t, kind))


def test_a_learned_variance_is_left_out(save: Save) -> None:
    """Of twice the channels, the first half is the prediction."""
    network = shaken(unet(2, out=4))
    denoiser = folder.open(save(network, DDPMScheduler(variance_type="learned_range")))
    x, t = states(2, 8, 8)
    with torch.no_grad():
        agree(denoiser(x, 999 * t), data(denoiser, network(x, 999 * t).sample[:, :2], x, 999 * t, "epsilon"))


def test_a_class_conditional_network_runs_each_sample_under_its_class(save: Save) -> None:
    """Every class is a condition; sample i has class i, or the one it is bound to, modulo their number."""
    network = shaken(unet(num_class_embeds=4))
    denoiser = folder.open(save(network, DDPMScheduler()))
    x, t = states(1, 8, 8)
    for indices, labels in ((None, [0, 1, 2, 3, 0]), ([7, 7, 2, 9, 0], [3, 3, 2, 1, 0])):
        under = denoiser if indices is None else denoiser.bound(indices)
        with torch.no_grad():
            output = network(x, 999 * t, class_labels=torch.tensor(labels)).sample
            agree(under(x, 999 * t), data(denoiser, output, x, 999 * t, "epsilon"))
    with pytest.raises(InvalidInput, match="bound to 2 samples, got 5"):
        denoiser.bound([0, 1])(x, t)


def test_guidance_leads_away_from_the_last_class(save: Save) -> None:
    """D = D_none + w (D_class − D_none), the last class being none; stored labels say which classes there are."""
    network = shaken(unet(num_class_embeds=4))
    path = save(network, DDPMScheduler(), labels=torch.tensor([2, 0]))
    denoiser = folder.open(manifest(path, '{"guidance": 2.5}'))
    assert (denoiser.conditions, denoiser.passes) == (2, 2)
    x, t = states(1, 8, 8)
    t = 999 * t
    with torch.no_grad():
        with_class, without = (
            data(denoiser, network(x, t, class_labels=torch.tensor(labels)).sample, x, t, "epsilon").double()
            for labels in ([2, 0, 2, 0, 2], [3] * 5)
        )
        agree(denoiser(x, t), (without + 2.5 * (with_class - without)).float())


def test_a_text_conditional_network_reads_stored_prompts(save: Save) -> None:
    """Guidance over prompt embeddings against two passes by hand, on scaled-linear betas."""
    network = shaken(text_unet())
    generator = torch.Generator().manual_seed(2)
    prompt, negative = torch.randn(3, 4, 6, generator=generator), torch.randn(1, 4, 6, generator=generator)
    path = save(network, LATENT, prompt=prompt, negative=negative)
    denoiser = folder.open(manifest(path, '{"guidance": 7.5}'))
    x, t = states(4, 8, 8)
    t = 999 * t
    with torch.no_grad():
        under = data(denoiser, network(x, t, prompt[[1, 2, 0, 1, 2]]).sample, x, t, "epsilon")
        without = data(denoiser, network(x, t, negative.expand(5, 4, 6)).sample, x, t, "epsilon")
        agree(denoiser.bound(range(1, 6))(x, t), without + 7.5 * (under - without))


def test_added_conditions_of_larger_text_networks(save: Save) -> None:
    """Pooled prompts and size numbers go where SDXL's network wants them; the sizes are the same without the prompt."""
    options = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    network = shaken(text_unet(**options, projection_class_embeddings_input_dim=6 * 4 + 5))
    generator = torch.Generator().manual_seed(2)
    prompt, negative = torch.randn(2, 4, 6, generator=generator), torch.randn(2, 4, 6, generator=generator)
    pooled, negative_pooled = torch.randn(2, 5, generator=generator), torch.randn(2, 5, generator=generator)
    ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    stored = {"prompt": prompt, "negative": negative, "pooled": pooled, "negative_pooled": negative_pooled}
    denoiser = folder.open(manifest(save(network, LATENT, **stored, time_ids=ids), '{"guidance": 3}'))
    x, t = states(4, 8, 8, count=2)
    t = 999 * t
    with torch.no_grad():
        under, without = (
            data(
                denoiser,
                network(x, t, text, added_cond_kwargs={"text_embeds": pool, "time_ids": ids.expand(2, 6)}).sample,
                x,
                t,
                "epsilon",
            )
            for text, pool in ((prompt, pooled), (negative, negative_pooled))
        )
        agree(denoiser(x, t), without + 3 * (under - without))


def test_a_network_keeps_its_own_precision(save: Save) -> None:
    """Saved in bfloat16 it runs in bfloat16, to whose rounding it agrees; data come out in float32."""
    dtype = torch.bfloat16
    network = shaken(unet()).to(dtype)
    denoiser = folder.open(save(network, DDPMScheduler(prediction_type="sample")))
    x, t = states(1, 8, 8)
    t = 999 * t
    with torch.no_grad():
        got = denoiser(x, t)
        assert got.dtype == torch.float32
        wanted = network(x.to(dtype), t).sample
        assert wanted.dtype == dtype
        near = 4 * torch.finfo(dtype).eps * wanted.abs().max().item()
        torch.testing.assert_close(got, wanted.float(), rtol=0, atol=near)


def test_float16_is_only_how_weights_are_stored_for_a_cpu(save: Save) -> None:
    """Saved in float16 it runs there in float32: as the network of the rounded weights does, to float32's rounding."""
    network = shaken(unet()).half()
    denoiser = folder.open(save(network, DDPMScheduler(prediction_type="sample")))
    x, t = states(1, 8, 8)
    t = 999 * t
    with torch.no_grad():
        torch.testing.assert_close(denoiser(x, t), network.float()(x, t).sample, rtol=1e-5, atol=1e-5)


def test_half_precision_rounds_states_but_not_times() -> None:
    """The network is given states in its own dtype, and times in float32, of which half precision would lose digits."""
    seen = []

    def network(x: torch.Tensor, told: torch.Tensor, given: object) -> torch.Tensor:
        seen.append((x.dtype, told))
        return x

    denoiser = NetworkDenoiser(network, Plain(Discrete.linear_betas(), "data"), torch.bfloat16)
    x, t = torch.ones(1, 2, dtype=torch.float64), torch.tensor([937.25], dtype=torch.float64)
    assert denoiser(x, t).dtype == torch.float64
    assert seen == [(torch.bfloat16, torch.tensor([937.25]))]


SHARDED = {"max_shard_size": "4KB"}


def test_sharded_and_half_weights_are_found(save: Save, tmp_path: Path) -> None:
    """Weights in several files, and those that are saved as a variant only, open to the same network."""
    network = shaken(unet())
    x, t = states(1, 8, 8)
    whole = folder.open(save(network, DDPMScheduler()))
    shards = save(network, DDPMScheduler(), "shards")
    (shards / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(shards / "unet", **SHARDED)
    assert len(list((shards / "unet").glob("*.safetensors"))) > 1
    with torch.no_grad():
        want = whole(x, t)
        assert torch.equal(folder.open(shards)(x, t), want)
        for variant, more in (("fp16", {}), ("bf16", {}), ("fp16", SHARDED), ("bf16", SHARDED)):
            half = save(network.half(), DDPMScheduler(), f"{variant}-{len(more)}")
            (half / "unet" / "diffusion_pytorch_model.safetensors").unlink()
            network.save_pretrained(half / "unet", variant=variant, **more)
            assert (len(list((half / "unet").glob(f"*.{variant}*.safetensors"))) > 1) == bool(more)
            torch.testing.assert_close(folder.open(half)(x, t), want, rtol=1e-1, atol=1e-2)


def test_a_network_without_a_scheduler_says_its_law_itself(save: Save) -> None:
    """fewstep.json alone, on a law that diffusers has no scheduler for; it samples."""
    network = shaken(unet())
    path = save(network, DDPMScheduler())
    (path / "scheduler" / "scheduler_config.json").unlink()
    manifest(path, '{"process": {"kind": "vp-linear"}, "prediction": "data", "time_scale": 999.0}')
    denoiser = folder.open(path)
    x, t = states(1, 8, 8)
    with torch.no_grad():
        agree(denoiser(x, t), network(x, 999 * t).sample)
    made = sample(denoiser, solvers.named("dpmpp-2m").schedule(denoiser.process, 3), x)
    assert made.isfinite().all()


def test_without_diffusers_everything_else_works(save: Save) -> None:
    """The library and its mixtures need no diffusers; a network says what to install."""
    path = save(unet(), DDPMScheduler())
    code = (
        "import sys; sys.modules['diffusers'] = None\n"
        "import fewstep, fewstep.models.reference\n"
        "from fewstep.models import folder, zoo\n"
        "print(zoo.load('digits-mixture').process.kind)\n"
        "try: folder.open(sys.argv[1])\n"
        "except fewstep.errors.InvalidModel as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "vp-linear",
        "this model needs the package diffusers: pip install 'fewstep[diffusers]'",
    ]


def test_a_network_with_two_heads(save: Save) -> None:
    """Decoupled diffusion: the folder's denoiser equals x_t − t·C − √t·ε of the heads by hand, also under a class."""
    network = shaken(unet(1, out=2, num_class_embeds=3))
    path = save(network, DDPMScheduler())
    manifest(path, '{"process": {"kind": "ddm"}, "prediction": "heads"}')
    denoiser = folder.open(path)
    assert denoiser.process == DDM()
    x, t = states(1, 8, 8)
    s = t[:, None, None, None]
    with torch.no_grad():
        told, labels = TIME_SCALE * t.log(), torch.tensor([0, 1, 2, 0, 1])
        first, second = network(x / (1 + s).sqrt(), told, class_labels=labels).sample.chunk(2, 1)
        attenuation = (s - 1) * x + s / (1 + s).sqrt() * first
        noise = s.sqrt() * x + ((1 - s) / (1 + s)).sqrt() * second
        agree(denoiser(x, t), x - s * attenuation - s.sqrt() * noise)
