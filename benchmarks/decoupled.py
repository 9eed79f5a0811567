"""Decoupled diffusion: its own samplers against a multistep solver on the same noise law, with an exact model.

``python -m benchmarks.decoupled [--quick] [--out FILE]`` writes JSON: rows of ``mixture``, ``calls``, ``sampler`` and
``distance``, the Wasserstein-2 distance of the samples to a mixture of three Gaussians on a line; ``ratio`` is that to
the paper's stochastic sampler at the same number of calls. Start noises are the normal's own quantiles, so that no
sampling error of theirs hides a sampler's. "wide" is the gate; "close" has all modes inside [−1, 1].
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table

from fewstep import sample, solvers
from fewstep.models import GaussianMixture
from fewstep.models.base import per_sample
from fewstep.processes import DDM
from training.decoupled import Attenuation, paper_times, reverse

CALLS = (6, 11, 21, 51)
BEST = "exponential 2M, uniform t"
PAPER = "paper, stochastic"


class Mixture(NamedTuple):
    """Weights, means and standard deviations of Gaussians on a line."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def denoiser(self, process: DDM) -> GaussianMixture:
        """E[x_0 | x_t], exact."""
        weights, means, deviations = (torch.tensor(values, dtype=torch.float64) for values in self)
        return GaussianMixture(process, weights, means[:, None], deviations.square()[:, None, None])

    def quantiles(self, count: int) -> torch.Tensor:
        """Quantiles at (i + ½)/count, (count,), float64: the distribution function by bisection."""
        share = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        low, high = torch.full_like(share, -10.0), torch.full_like(share, 10.0)
        for _ in range(60):
            middle = (low + high) / 2
            below = sum(w * torch.special.ndtr((middle - m) / d) for w, m, d in zip(*self, strict=True))
            low, high = torch.where(below < share, middle, low), torch.where(below < share, high, middle)
        return (low + high) / 2

    def distance(self, samples: torch.Tensor) -> float:
        """Wasserstein-2 distance of ``samples`` (n, ...) to the mixture."""
        ordered = samples.flatten().double().sort().values
        return float((ordered - self.quantiles(len(ordered))).square().mean().sqrt())


MIXTURES = {
    "wide": Mixture((0.2, 0.5, 0.3), (-2.0, 0.0, 1.5), (0.3, 0.2, 0.3)),
    "close": Mixture((0.3, 0.4, 0.3), (-1.0, 0.2, 1.0), (0.1, 0.1, 0.1)),
}


def estimates(denoiser: GaussianMixture, x: torch.Tensor, t: torch.Tensor) -> tuple[Attenuation, torch.Tensor]:
    """Attenuation and noise by the exact denoiser: C = −D and ε = (x − (1 − t)·D)/√t."""
    data, s = denoiser(x, t), per_sample(t, x)
    return Attenuation.of(data), (x - (1 - s) * data) / s.sqrt()


def scheduled(grid: str, process: DDM, mixture: Mixture, noise: torch.Tensor, calls: int) -> torch.Tensor:
    """Samples of DPM-Solver++ 2M with the times of ``grid``."""
    schedule = solvers.named("dpmpp-2m").schedule(process, calls, grid)
    return sample(mixture.denoiser(process), schedule, noise)


def paper(seed: int | None, mixture: Mixture, noise: torch.Tensor, calls: int) -> torch.Tensor:
    """Samples of the paper's sampler at its own times: stochastic with a ``seed``, else deterministic."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return reverse(partial(estimates, mixture.denoiser(DDM())), noise, paper_times(calls), generator)


SAMPLERS: dict[str, Callable[[Mixture, torch.Tensor, int], torch.Tensor]] = {
    PAPER: partial(paper, 1),
    "paper, deterministic": partial(paper, None),
    BEST: partial(scheduled, "time", DDM()),
    "exponential 2M, uniform log-SNR": partial(scheduled, "logsnr", DDM(t_min=1e-4, t_max=1 - 1e-3)),
}


def compare(name: str, count: int, calls: int) -> list[dict[str, Any]]:
    """A row for every sampler, on the same ``count`` start noises."""
    normal = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    noise = normal[torch.randperm(count, generator=torch.Generator().manual_seed(0)), None]
    distances = {key: MIXTURES[name].distance(make(MIXTURES[name], noise, calls)) for key, make in SAMPLERS.items()}
    return [
        {"mixture": name, "calls": calls, "sampler": key, "distance": value, "ratio": value / distances[PAPER]}
        for key, value in distances.items()
    ]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the samples.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("var/benchmarks/decoupled.json"),
) -> None:
    """Compare samplers of decoupled diffusion."""
    torch.set_num_threads(1)
    count = 40_000 if quick else 400_000
    console, report = Console(width=120), []
    for name in MIXTURES:
        rows = [row for calls in CALLS for row in compare(name, count, calls)]
        page = Table("sampler", *(f"{calls} calls" for calls in CALLS), title=f"{name}: W2 (share of the paper's)")
        for key in SAMPLERS:
            cells = [row for row in rows if row["sampler"] == key]
            page.add_row(key, *(f"{row['distance']:.4f} ({row['ratio']:.2f})" for row in cells))
        console.print(page)
        report += rows
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"samples": count, "rows": report}, indent=2) + "\n")
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
