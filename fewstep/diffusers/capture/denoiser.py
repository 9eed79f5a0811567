"""A pipeline as a denoiser: each call is one run of the pipeline's own code, up to its scheduler's first step."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from fewstep.checks import number
from fewstep.diffusers.capture.entry import Entry
from fewstep.diffusers.capture.guidance import NONE, Guidance
from fewstep.diffusers.capture.memo import Memory
from fewstep.diffusers.capture.probe import FixedTimes, RunEnd, StepCall
from fewstep.diffusers.signature import call_of, default_steps, parameters_of
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.reading import Reading, first_half
from fewstep.processes import Process

__all__ = ["PipelineDenoiser", "amid", "dtype_of", "seeded"]

LOCK = threading.RLock()  # a run patches the pipeline's module, which is one for all
STEPS = 50  # of a pipeline that says no number: parts of its set-up may depend on it
PLACE = 0.7  # of t_max, where a pipeline is tried out; σ = 1 where times are σ
CHANGED = 2e-2  # of a state, between what was put in and what the step sees: above rounding in bfloat16


@dataclass(frozen=True, eq=False)
class PipelineDenoiser:
    """A `fewstep.models.Denoiser` of a pipeline; made by `fewstep.diffusers.from_pipeline`.

    ``pipe`` is the user's pipeline, ``view`` a copy of it with a probe for a scheduler · ``call`` are the arguments of
    all samples, ``per_condition`` those of single ones, a mapping for each condition · ``entry`` puts states in, which
    come out ``factor`` times as large · ``batch`` is the most samples of one run · ``shape`` is that of a state without
    the batch · ``guidance`` says how a scale is set and what it costs; ``scale`` is the one set, None for the user's
    own · ``network_time`` replaces what the network is told, to repeat a recorded step exactly · ``mu`` is the shift by
    image size that the pipeline asks for, if it does.
    """

    pipe: Any
    view: Any
    reading: Reading
    call: Mapping[str, Any]
    per_condition: tuple[Mapping[str, Any], ...]
    memory: Memory
    batch: int = 8
    shape: tuple[int, ...] = ()
    entry: Entry | None = None
    factor: float = 1.0
    guidance: Guidance = NONE
    scale: float | None = None
    indices: tuple[int, ...] | None = None
    network_time: float | None = None
    mu: float | None = None

    @property
    def process(self) -> Process:
        """The noise process of the pipeline's scheduler."""
        return self.reading.process

    @property
    def conditions(self) -> int:
        """Number of conditions, such as prompts; 0 where the pipeline takes none."""
        return len(self.per_condition) if self.per_condition[0] else 0

    @property
    def passes(self) -> int:
        """Passes of the denoising network in one call of one sample, at the guidance scale that is set."""
        return self.guidance.passes_at(self.scale)

    def bound(self, conditions: Sequence[int]) -> "PipelineDenoiser":
        """The same for a batch whose sample i runs under condition ``conditions[i]``, modulo their number."""
        return replace(self, indices=tuple(int(i) for i in conditions)) if self.conditions else self

    def guided(self, scale: float) -> "PipelineDenoiser":
        """The same at another guidance scale, where 1 is without guidance; raises `InvalidInput` where the pipeline has
        no guidance to set."""
        scale = number("guidance scale", scale)
        if not self.guidance.argument:
            raise InvalidInput(
                f"guidance at scale {scale} wants a pipeline with guidance, but this {self.name} runs without: pass "
                "its guidance_scale (and negative prompt, where it wants one) to from_pipeline"
            )
        return replace(self, scale=scale)

    @property
    def name(self) -> str:
        """The pipeline's class."""
        return type(self.view).__name__

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), in the dtype of ``x``.

        Raises `InvalidInput` where it is bound to another number of samples, `InvalidModel` where the pipeline does not
        step from the state that it is given.
        """
        rows = range(len(x)) if self.indices is None else self.indices
        if len(rows) != len(x):
            raise InvalidInput(f"this denoiser is bound to {len(rows)} samples, got {len(x)}: bind it anew")
        times = t.expand(len(x))
        distinct = times.unique().tolist()  # type: ignore[no-untyped-call]
        parts = [part for time in distinct for part in (times == time).nonzero()[:, 0].split(self.batch)]
        data = [self._data(x[part], times[part], [rows[i] for i in part.tolist()]) for part in parts]
        return torch.cat(data)[torch.cat(parts).argsort()]

    def _data(self, x: torch.Tensor, t: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        call = self.step(x, t, rows)
        if call.data is not None:
            return call.data[: len(x)].to(x)
        return self.reading.data(self.output(call, x), x, t)

    def output(self, call: StepCall, x: torch.Tensor) -> torch.Tensor:
        """What the pipeline handed to its scheduler for states ``x``, without a learned variance."""
        if call.output is None or call.sample is None:
            raise InvalidModel(f"{self.name} called its scheduler's step without an output")
        sample = call.sample[: len(x)].to(x)
        if sample.shape != x.shape or not torch.allclose(sample, x, rtol=CHANGED, atol=CHANGED):
            raise InvalidModel(
                f"{self.name} changes its latents before the step, which is then no function of the state alone"
            )
        return first_half(call.output[: len(x)].to(x), x)

    def step(self, x: torch.Tensor | None, t: torch.Tensor, rows: Sequence[int]) -> StepCall:
        """Run the pipeline from states ``x`` (B, ...) at one time ``t`` (B,) to its first step, and return what came
        there; without ``x`` it draws its own."""
        with LOCK:
            try:
                self._run(x, t, rows, {})
            except RunEnd:
                call: StepCall = self.view.scheduler.run.call
                return call
        raise InvalidModel(
            f"{self.name} never came to its scheduler's step: only pipelines whose loop calls scheduler.step are read"
        )

    @torch.no_grad()
    def finish(self, x: torch.Tensor, rows: Sequence[int], **more: Any) -> Any:
        """What the pipeline returns after its last state ``x`` (B, ...): images, frames, sound, made by its own code
        with the arguments ``more``, as output_type. Costs the passes of one call.

        Raises `InvalidModel` where the pipeline cannot make a run of one step.
        """
        with LOCK:
            probe = self.view.scheduler
            probe.run.final = x
            try:
                return self._run(x, x.new_full((1,), self.process.t_min), rows, more)
            except RunEnd as error:
                raise InvalidModel(f"{self.name} steps beyond its last state") from error
            finally:
                probe.run.final = None

    def _run(self, x: torch.Tensor | None, t: torch.Tensor, rows: Sequence[int], more: Mapping[str, Any]) -> Any:
        view, device = self.view, self.view._execution_device
        kwargs = {**self.arguments(rows), **more}
        probe, steps = view.scheduler, kwargs.get("num_inference_steps") or STEPS
        if probe.run.final is not None and "strength" not in parameters_of(view):
            steps = kwargs["num_inference_steps"] = 1
        probe.run.times, probe.run.call = self._schedule(t, steps, device), StepCall()
        inside: Any = nullcontext({})
        if x is not None and self.entry is not None:
            states = (x / self.factor).to(device, dtype_of(view))
            key = tuple(i % len(self.per_condition) for i in rows)
            inside = self.entry.enter(view, states, key, self.memory)
        with inside as entering, seeded(device):
            return call_of(view)(view, **{**kwargs, **entering})

    def _schedule(self, t: torch.Tensor, steps: int, device: torch.device) -> FixedTimes:
        """What the probe gives out: the same time at every step."""
        one = t[:1].detach().cpu()
        network_time = self.network_time
        if network_time is None:
            network_time = float(self.reading.inputs(torch.zeros(1, 1), one)[1])
        level = network_time if self.process.kind == "discrete" else float(self.process.sigma(one))

        def scale(sample: torch.Tensor) -> torch.Tensor:
            if not sample.ndim:
                return sample
            return self.reading.inputs(sample, one.to(sample.device).expand(len(sample)))[0].to(sample.dtype)

        timesteps = torch.full((steps,), network_time, device=device)
        return FixedTimes(timesteps, torch.full((steps + 1,), level, device=device), scale)

    def arguments(self, rows: Sequence[int]) -> dict[str, Any]:
        """The pipeline's arguments for samples of these conditions."""
        device, accepts = self.view._execution_device, parameters_of(self.view)
        own = {
            "num_inference_steps": self.call.get("num_inference_steps") or default_steps(self.view) or STEPS,
            "generator": torch.Generator(device if device.type != "mps" else "cpu").manual_seed(0),
            "batch_size": len(rows),
        }
        kwargs = {**self.call, **{name: value for name, value in own.items() if name in accepts}}
        for name in self.per_condition[0]:
            values = [self.per_condition[i % len(self.per_condition)][name] for i in rows]
            several = torch.cat(values) if isinstance(values[0], torch.Tensor) else values
            kwargs[name] = values[0] if len(rows) == 1 else several  # some pipelines take one sample only
        if isinstance(kwargs.get("prompt"), list) and isinstance(negative := kwargs.get("negative_prompt"), str):
            kwargs["negative_prompt"] = [negative] * len(rows)  # some pipelines want as many as prompts
        if self.scale is not None:
            kwargs[self.guidance.argument] = self.guidance.value_at(self.scale)
        return kwargs


@contextmanager
def seeded(device: torch.device) -> Iterator[None]:
    """Seeds the global generators, which some pipelines draw from, and leaves them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def amid(denoiser: PipelineDenoiser, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """States (count, ...) and a time (1,) amid the process, at which a pipeline is tried out."""
    process, device = denoiser.process, denoiser.view._execution_device
    x = torch.randn((count, *denoiser.shape), generator=torch.Generator().manual_seed(1))
    return x.to(device), torch.tensor([1.0 if process.kind == "ve" else PLACE * process.t_max], device=device)


def dtype_of(view: Any) -> torch.dtype:
    """The type of the states that its network takes."""
    dtype: torch.dtype = view.networks[0].dtype
    return dtype
