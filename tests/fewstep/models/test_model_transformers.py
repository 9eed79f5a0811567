"""Transformers as diffusers has them, against the same network called by hand."""

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from fewstep.models import folder
from fewstep.processes import Flow
from tests.fewstep.models.tiny import dit, flux, sd3, shaken, states
from tests.fewstep.models.truths import Save, agree, data, manifest


def test_a_diffusion_transformer(save: Save) -> None:
    """DiT: classes by number, guidance away from the class after the last, learned variance left out."""
    network = shaken(dit())
    denoiser = folder.open(manifest(save(network, DDIMScheduler()), '{"guidance": 4.0}'))
    assert denoiser.conditions == 5
    x, t = states(2, 8, 8)
    t = 999 * t
    with torch.no_grad():
        under, without = (
            data(denoiser, network(x, t, class_labels=labels).sample[:, :2], x, t, "epsilon")
            for labels in (torch.arange(5), torch.full((5,), 5))
        )
        agree(denoiser(x, t), without + 4.0 * (under - without))


def test_a_flow_transformer(save: Save) -> None:
    """SD3: told 1000 σ, whatever the shift of its times, and predicts ε − x_0."""
    network = shaken(sd3())
    generator = torch.Generator().manual_seed(2)
    prompt, pooled = torch.randn(5, 4, 6, generator=generator), torch.randn(5, 5, generator=generator)
    path = save(network, FlowMatchEulerDiscreteScheduler(shift=3.0), prompt=prompt, pooled=pooled)
    denoiser = folder.open(path)
    assert denoiser.process == Flow(shift=3.0)
    x, t = states(2, 8, 8)
    sigma = denoiser.process.sigma(t)
    with torch.no_grad():
        output = network(x, encoder_hidden_states=prompt, pooled_projections=pooled, timestep=1000 * sigma).sample
        agree(denoiser(x, t), data(denoiser, output, x, t, "flow"))


@pytest.mark.parametrize("guided", [False, True])
def test_a_flow_transformer_on_packed_latents(save: Save, guided: bool) -> None:
    """Flux: packed and unpacked as its pipeline does; a distilled one is told its guidance and makes one pass."""
    network, pipeline = shaken(flux(guided)), diffusers.FluxPipeline
    generator = torch.Generator().manual_seed(2)
    prompt, pooled = torch.randn(3, 4, 6, generator=generator), torch.randn(3, 5, generator=generator)
    path = save(network, FlowMatchEulerDiscreteScheduler(), prompt=prompt, pooled=pooled)
    denoiser = folder.open(manifest(path, f'{{"shape": [2, 6, 8], "guidance": {3.5 if guided else 1.0}}}'))
    assert denoiser.passes == 1
    x, t = states(2, 6, 8, count=3)
    with torch.no_grad():
        output = network(
            pipeline._pack_latents(x, 3, 2, 6, 8),
            encoder_hidden_states=prompt,
            pooled_projections=pooled,
            timestep=t,
            img_ids=pipeline._prepare_latent_image_ids(3, 3, 4, "cpu", torch.float32),
            txt_ids=torch.zeros(4, 3),
            guidance=torch.full((3,), 3.5) if guided else None,
        ).sample
        unpacked = pipeline._unpack_latents(output, 6 * 8, 8 * 8, 8)
        agree(denoiser(x, t), data(denoiser, unpacked, x, t, "flow"))
