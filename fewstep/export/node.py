"""A custom node for ComfyUI that gives SAMPLER and SIGMAS of one few-step schedule; it needs nothing but torch.

Put the folder that holds this file into ComfyUI's ``custom_nodes`` and connect both outputs to SamplerCustomAdvanced
(or SamplerCustom). The schedule was made for one kind of model: use it with that, at the guidance it was found at.

The sampler takes the schedule's own sigmas, or a run of them: the first few (a head), or the last few (a tail, as for a
strength below one). It makes one call of the model for each row of the table:

    y_{i+1} = start_i·y_0 + Σ_{j≤i} outputs_ij·D_j + Σ_k noise_ik·z_k,    D_j the model's denoised output of call j

| entry | shape | meaning |
|---|---|---|
| ``levels``, ``scale`` | (N+1,) | sigma of each state; factor from the host's state to y |
| ``network_levels``, ``network_scale`` | (N,) | the same for what the model takes in each call |
| ``start``, ``outputs``, ``noise`` | (N,), (N, N), (N, K) | the table |
| ``alpha``, ``sigma`` | | of the first state's noise process |
| ``name``, ``key`` | | of the node |
"""

import importlib
import json
from typing import Any, ClassVar

import torch

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "FewstepSchedule", "sampler_of"]

TEXT = "{}"  # the schedule's numbers, as JSON
NUMBERS: dict[str, Any] = json.loads(TEXT)
TOLERANCE = 1e-3  # relative: hosts pass sigmas in float32, and some interpolate them from tables


def _strides(numbers: dict[str, Any]) -> list[int]:
    """The last state at each of the distinct levels: several calls may share one."""
    levels = numbers["levels"]
    return [i for i in range(len(levels)) if i + 1 == len(levels) or levels[i + 1] < levels[i]]


def _run_of(numbers: dict[str, Any], sigmas: torch.Tensor) -> tuple[int, int]:
    """The first and the last state of the run that the host asks for; raises ValueError for other sigmas."""
    received = [float(sigma) for sigma in sigmas.detach().cpu()]
    ends = _strides(numbers)
    own = [numbers["levels"][i] for i in ends]
    for first in range(len(own) - len(received) + 1):
        pairs = zip(received, own[first:], strict=False)
        if len(received) > 1 and all(abs(a - b) <= TOLERANCE * b + 1e-6 for a, b in pairs):
            return ends[first], ends[first + len(received) - 1]
    raise ValueError(
        f"this sampler goes with the sigmas {[round(s, 6) for s in own]} or a run of them, got "
        f"{[round(s, 6) for s in received]}: connect the SIGMAS of the same node"
    )


def _table(numbers: dict[str, Any], begin: int) -> tuple[list[float], list[list[float]], list[list[float]]]:
    """start (n,), outputs (n, n) and noise (n, K) of calls ``begin`` … N−1, for a run that starts from a state there.

    Earlier outputs are replaced by the first one here, the start state and earlier noises by their regression on the
    state: a multistep solver thus begins at first order.
    """
    start, outputs, noise = numbers["start"], numbers["outputs"], numbers["noise"]
    if begin == 0:
        return start, outputs, noise
    alpha, variance = numbers["alpha"], numbers["sigma"] ** 2
    count = len(noise[0]) if noise else 0
    past = [k for k in range(count) if any(row[k] for row in noise[:begin])]
    later = [k for k in range(count) if k not in past]
    before = start[begin - 1]
    mean = before * alpha + sum(outputs[begin - 1])
    total = before**2 * variance + sum(noise[begin - 1][k] ** 2 for k in past)
    from_start = before * variance / total if total else 0.0
    from_noise = {k: noise[begin - 1][k] / (total or 1.0) for k in past}
    starts, rows, noises = [], [], []
    for i in range(begin, len(start)):
        weight = start[i] * from_start + sum(noise[i][k] * from_noise[k] for k in past)
        row = list(outputs[i][begin:])
        row[0] += sum(outputs[i][:begin]) + start[i] * alpha - weight * mean
        starts.append(weight)
        rows.append(row)
        noises.append([noise[i][k] for k in later])
    return starts, rows, noises


def _default_noise(x: torch.Tensor, seed: int | None) -> Any:
    """``draw()`` makes standard normal noise like ``x``, from the host's seed where it has one."""
    generator = torch.Generator(device=x.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed + 1)  # the start noise has the seed itself
    return lambda: torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def sampler_of(numbers: dict[str, Any]) -> Any:
    """The schedule as ``sample(model, x, sigmas, extra_args, callback, disable, noise_sampler)``."""

    @torch.no_grad()
    def sample_fewstep(
        model: Any,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Any = None,
        disable: bool | None = None,
        noise_sampler: Any = None,
    ) -> torch.Tensor:
        begin, end = _run_of(numbers, sigmas)
        starts, rows, noises = _table(numbers, begin)
        ends, extra = _strides(numbers), extra_args or {}
        draw = _default_noise(x, extra.get("seed"))
        state = x.to(torch.promote_types(x.dtype, torch.float32)) * numbers["scale"][begin]
        first = state
        data: list[torch.Tensor] = []
        fresh: dict[int, torch.Tensor] = {}
        for i in range(end - begin):
            call = begin + i
            scaled = (state / numbers["network_scale"][call]).to(x.dtype)
            level = numbers["network_levels"][call]
            denoised = model(scaled, level * x.new_ones(len(x)), **extra)
            data.append(denoised.to(state.dtype))
            if callback is not None:
                stride = sum(e < call for e in ends) - sum(e < begin for e in ends)
                told = x.new_tensor(level)
                callback({"x": scaled, "i": stride, "denoised": denoised, "sigma": told, "sigma_hat": told})
            state = starts[i] * first
            for j, weight in enumerate(rows[i][: i + 1]):
                if weight:
                    state = state + weight * data[j]
            for k, weight in enumerate(noises[i]):
                if weight:
                    if k not in fresh:
                        pair = (x.new_tensor(numbers["levels"][call]), x.new_tensor(numbers["levels"][call + 1]))
                        fresh[k] = (draw() if noise_sampler is None else noise_sampler(*pair)).to(state)
                    state = state + weight * fresh[k]
        last: torch.Tensor = (state / numbers["scale"][end]).to(x.dtype)
        return last

    return sample_fewstep


class FewstepSchedule:
    """The node: no inputs, a sampler and its sigmas."""

    RETURN_TYPES: ClassVar = ("SAMPLER", "SIGMAS")
    FUNCTION: ClassVar = "make"
    CATEGORY: ClassVar = "sampling/custom_sampling"
    DESCRIPTION: ClassVar = "A few-step schedule: connect SAMPLER and SIGMAS to SamplerCustomAdvanced."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802, the host's name
        """What the host asks of a node: it takes nothing."""
        return {"required": {}}

    def make(self) -> tuple[Any, torch.Tensor]:
        """SAMPLER and SIGMAS."""
        samplers = importlib.import_module("comfy.samplers")
        levels = [NUMBERS["levels"][i] for i in _strides(NUMBERS)]
        return samplers.KSAMPLER(sampler_of(NUMBERS)), torch.tensor(levels, dtype=torch.float32)


NODE_CLASS_MAPPINGS = {NUMBERS.get("key", "FewstepSchedule"): FewstepSchedule}
NODE_DISPLAY_NAME_MAPPINGS = {NUMBERS.get("key", "FewstepSchedule"): NUMBERS.get("name", "fewstep schedule")}
