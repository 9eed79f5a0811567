"""A model folder for each adapter: tiny networks of real diffusers classes, and exported programs."""

import json
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file
from torch.export import Dim

from fewstep import processes
from tests.fewstep.models import tiny


def flow() -> diffusers.FlowMatchEulerDiscreteScheduler:
    return diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)


def saved(
    folder: Path, network: torch.nn.Module, scheduler: object, manifest: dict | None = None, **given: torch.Tensor
) -> None:
    """A model folder as diffusers saves it, with conditions and a manifest if there are any."""
    network.save_pretrained(folder / ("transformer" if "Transformer" in type(network).__name__ else "unet"))
    scheduler.save_pretrained(folder / "scheduler")
    if given:
        save_file(given, folder / "conditions.safetensors")
    if manifest:
        (folder / "fewstep.json").write_text(json.dumps({"format": 1, **manifest}))


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def classes(folder: Path) -> None:
    saved(folder, tiny.unet(num_class_embeds=4), diffusers.PNDMScheduler(), {"guidance": 2.0})


def text(folder: Path) -> None:
    prompts = {"prompt": drawn(3, 5, 6), "negative": drawn(1, 5, 6)}
    scheduler = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction")
    saved(folder, tiny.text_unet(), scheduler, {"guidance": 3.0}, **prompts)


def dit(folder: Path) -> None:
    saved(folder, tiny.dit(), diffusers.DDIMScheduler())


def sd3(folder: Path) -> None:
    saved(folder, tiny.sd3(), flow(), prompt=drawn(2, 5, 6), pooled=drawn(2, 5))


def flux(folder: Path) -> None:
    saved(folder, tiny.flux(False), flow(), {"shape": [2, 8, 8]}, prompt=drawn(2, 5, 6), pooled=drawn(2, 5))


def edm(folder: Path) -> None:
    saved(folder, tiny.unet(), diffusers.EDMDPMSolverMultistepScheduler(), {"preconditioning": "edm"})


def variance(folder: Path) -> None:
    saved(
        folder,
        tiny.unet(out=2),
        diffusers.DDPMScheduler(variance_type="learned_range", beta_schedule="squaredcos_cap_v2"),
    )


class Broken(torch.nn.Module):
    """Answers with what is no number."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x * (-1.0 - t[:, None, None, None]).log()


class Net(torch.nn.Module):
    """A small network of (states, times)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x - 0.3 * torch.tanh(self.mix(x)) * t[:, None, None, None]


def exported(folder: Path, network: torch.nn.Module) -> None:
    """A folder of a program that `torch.export` wrote, for batches of any size."""
    folder.mkdir()
    dynamic = {"x": {0: Dim("B")}, "t": {0: Dim("B")}}
    program = torch.export.export(network.eval(), (torch.ones(2, 1, 8, 8), torch.ones(2)), dynamic_shapes=dynamic)
    torch.export.save(program, folder / "program.pt2")
    process = processes.to_dict(processes.VPLinear())
    manifest = {"format": 1, "shape": [1, 8, 8], "prediction": "noise", "process": process}
    (folder / "fewstep.json").write_text(json.dumps(manifest))


def program(folder: Path) -> None:
    exported(folder, Net())


ADAPTERS = {make.__name__: make for make in (classes, text, dit, sd3, flux, edm, variance, program)}
