"""The file for ComfyUI, executed as ComfyUI loads a custom node, with a stand-in for its ``comfy.samplers``.

The stand-in calls the sampler as ComfyUI's KSAMPLER does: start noise scaled by the model, ``model(x, sigma)`` returns
clean data. ComfyUI itself was not run.
"""

import builtins
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewstep import Schedule, compile, models, sample, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.export import comfyui_node, sampler
from fewstep.processes import DDM, VE, Discrete, Flow, Process, VPLinear
from fewstep.timeshift import TimeShift
from tests.fewstep.test_export_callable import host, own

LAWS = (VPLinear(), Discrete.linear_betas(), VE(), Flow(shift=3.0))
Node = types.SimpleNamespace


@dataclass
class KSampler:
    """ComfyUI's object around a sampler function, as far as the node needs it."""

    function: Callable[..., torch.Tensor]

    def sample(
        self,
        model_wrap: Any,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: torch.Tensor,
        latent_image: torch.Tensor | None = None,
        denoise_mask: Any = None,
        disable_pbar: bool = False,
    ) -> torch.Tensor:
        """Scales the noise as the model's process has it, and tells the callback of every step."""
        process = model_wrap.process
        extra_args = {**extra_args, "denoise_mask": denoise_mask}
        x = noise * (1.0 if process.kind == "flow" else process.prior_std / process.alpha(process.t_max))
        total = len(sigmas) - 1
        told = None if callback is None else lambda at: callback(at["i"], at["denoised"], at["x"], total)
        return self.function(model_wrap, x, sigmas, extra_args=extra_args, callback=told, disable=disable_pbar)


class Wrapped:
    """A model as ComfyUI hands it to samplers: ``model(x, sigma, **extra_args)``."""

    def __init__(self, denoiser: models.Denoiser) -> None:
        self.process = denoiser.process
        self._model = host(denoiser)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, denoise_mask: Any = None, seed: Any = None) -> Any:
        return self._model(x, sigma)


@pytest.fixture(autouse=True)
def _comfy(monkeypatch: pytest.MonkeyPatch) -> None:
    comfy, samplers = types.ModuleType("comfy"), types.ModuleType("comfy.samplers")
    samplers.KSAMPLER = KSampler
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)


def loaded(schedule: Schedule) -> Any:
    """What the one class of the exported file gives."""
    names: dict[str, Any] = {"__name__": "custom_nodes.schedule"}
    exec(compile_text(comfyui_node(schedule)), names)
    (key,) = names["NODE_CLASS_MAPPINGS"]
    node = names["NODE_CLASS_MAPPINGS"][key]
    assert key in names["NODE_DISPLAY_NAME_MAPPINGS"]
    assert node.RETURN_TYPES == ("SAMPLER", "SIGMAS")
    assert node.INPUT_TYPES() == {"required": {}}
    return getattr(node(), node.FUNCTION)()


def compile_text(text: str) -> Any:
    return builtins.compile(text, "custom_nodes/schedule/__init__.py", "exec")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
@pytest.mark.parametrize("name", ["unipc-2-bh2", "dpmpp-3m", "heun", "ipndm-3"])
def test_the_node_makes_the_samples_of_sample(make_mixture, name: str, law: Process) -> None:
    """Any solver, with several calls at one level too."""
    denoiser, schedule = make_mixture(law), solvers.named(name).schedule(law, 7)
    ksampler, sigmas = loaded(schedule)
    seen: list[tuple[int, int]] = []
    got = ksampler.sample(
        Wrapped(denoiser), sigmas, {}, lambda i, denoised, x, total: seen.append((i, total)), noise(2, 3)
    )
    scale = 1.0 if law.kind == "flow" else float(law.alpha(schedule.times[-1]))
    torch.testing.assert_close(got, sample(denoiser, schedule, noise(2, 3)) / scale, rtol=1e-6, atol=1e-6)
    assert [i for i, _ in seen] == sorted(i for i, _ in seen)
    assert len(seen) == 7
    assert seen[-1] == (len(sigmas) - 2, len(sigmas) - 1)


@pytest.mark.parametrize("name", ["unipc-2-bh2", "ddpm", "sde-dpmpp-2m"])
@pytest.mark.parametrize("left", [1, 3, 5])
def test_a_tail_is_what_the_library_runs(make_mixture, name: str, left: int) -> None:
    """The last few sigmas start from a less noisy state, fresh noise included."""
    law = VPLinear()
    denoiser, schedule = make_mixture(law), solvers.named(name).schedule(law, 6)
    ksampler, sigmas = loaded(schedule)

    def draws() -> Callable[..., torch.Tensor]:
        generator = torch.Generator().manual_seed(9)
        return lambda here, there: torch.randn(2, 3, generator=generator, dtype=torch.float64)

    model, x = Wrapped(denoiser), noise(2, 3)
    got = ksampler.function(model, x, sigmas[-left - 1 :], noise_sampler=draws())
    want = sampler(schedule)(host(denoiser), x, own(schedule)[-left - 1 :], noise_sampler=draws())
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["ddim", "heun"])
def test_a_head_and_a_tail_of_one_step_solvers_are_the_whole(make_mixture, name: str) -> None:
    """Two samplers in a row, as for models with an expert for each half of the noise levels."""
    law = Flow(shift=3.0)
    denoiser, schedule = make_mixture(law), solvers.named(name).schedule(law, 7)
    ksampler, sigmas = loaded(schedule)
    model = Wrapped(denoiser)
    whole = ksampler.function(model, noise(2, 3), sigmas)
    halfway = ksampler.function(model, noise(2, 3), sigmas[:3])
    torch.testing.assert_close(ksampler.function(model, halfway, sigmas[2:]), whole, rtol=1e-9, atol=1e-9)


def test_fresh_noise_follows_the_hosts_seed() -> None:
    """The same seed makes the same sample, another one another."""
    schedule = solvers.named("ddpm").schedule(VPLinear(), 4)
    ksampler, sigmas = loaded(schedule)
    x = torch.zeros(2, 3)
    first, again, other = (
        ksampler.function(lambda x, sigma, seed: 0.0 * x, x, sigmas, {"seed": seed}) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    want = np.linalg.norm(compile(schedule).noise[-1]) / float(VPLinear().alpha(schedule.times[-1]))
    many = ksampler.function(lambda x, sigma, seed: 0.0 * x, torch.zeros(1, 20_000), sigmas, {"seed": 1})
    assert many.std() == pytest.approx(want, rel=0.03)


def test_half_precision_stays_outside() -> None:
    """The result is in the host's dtype; sums are in float32."""
    ksampler, sigmas = loaded(solvers.named("dpmpp-2m").schedule(VPLinear(), 5))
    got = ksampler.function(lambda x, sigma: 0.3 * x, noise(2, 3).bfloat16(), sigmas)
    assert got.dtype == torch.bfloat16
    want = ksampler.function(lambda x, sigma: 0.3 * x, noise(2, 3), sigmas)
    torch.testing.assert_close(got.double(), want, rtol=3e-2, atol=3e-2)


def test_other_sigmas_are_refused() -> None:
    """The message lists the schedule's own."""
    ksampler, sigmas = loaded(solvers.named("flow-euler").schedule(Flow(), 4))
    for wrong in (sigmas[:1], torch.tensor([1.0, 0.4, 0.0]), torch.cat([sigmas, sigmas[-1:]])):
        with pytest.raises(ValueError, match=r"goes with the sigmas \[1.0, 0.75, 0.5, 0.25, 0.0\] or a run of them"):
            ksampler.function(lambda x, sigma: x, noise(2, 3), wrong)


def test_what_comfyui_cannot_run_is_refused() -> None:
    """An infinite first sigma, and a time of its own for each sample."""
    with pytest.raises(InvalidInput, match="sigma is infinite in ComfyUI"):
        comfyui_node(solvers.named("ddm").schedule(DDM(t_max=1.0), 4, "time"))
    schedule = solvers.named("ddim").schedule(VPLinear(), 4)
    shifted = Schedule(schedule.process, schedule.times, schedule.steps, shift=TimeShift(2, 0))
    with pytest.raises(InvalidSchedule, match="time shift"):
        comfyui_node(shifted)


def test_the_file_runs_with_torch_alone(tmp_path: Path) -> None:
    """Without this library, in a process that refuses to import it."""
    path = tmp_path / "__init__.py"
    path.write_text(comfyui_node(solvers.named("unipc-2-bh2").schedule(Flow(), 4)))
    code = (
        "import sys, runpy; sys.modules['fewstep'] = None; sys.modules['numpy'] = sys.modules.get('numpy')\n"
        f"names = runpy.run_path({str(path)!r})\n"
        "import torch; x = names['sampler_of'](names['NUMBERS'])\n"
        "print(tuple(x(lambda x, sigma: 0 * x, torch.ones(2, 3), torch.tensor(names['NUMBERS']['levels'])).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout.strip() == "(2, 3)", done.stderr
