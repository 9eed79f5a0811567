"""The tables of docs/score-optimal.md: solvers on measured and on even grids. ``python -m benchmarks.score_optimal``.

Two narrow modes in one dimension, ±1 with standard deviation 0.05, on VE from 80 to 0.002, where grids matter most; and
the digits mixture. Root mean square distance to the converged end from the same noise, 512 noises, float64.
"""

import torch

from fewstep import grids, models, processes, sample, solvers
from fewstep.grids import score_optimal
from fewstep.models import Denoiser, GaussianMixture

__all__ = ["main"]

NAMES = ("ddim", "dpmpp-2m", "unipc-3-bh2", "ipndm-3")
CALLS = (6, 10, 20)
TEACHER = 400
NOISES, PROBED = 512, 64


def bimodal() -> Denoiser:
    """The two modes."""
    means, covariances = torch.tensor([[-1.0], [1.0]]), 0.05**2 * torch.eye(1).expand(2, 1, 1)
    return GaussianMixture(processes.VE(), torch.ones(2), means, covariances)


def table(denoiser: Denoiser, shape: tuple[int, ...]) -> list[str]:
    """Lines of Markdown: each solver with each number of calls on each grid; last orders lowered."""
    generator = torch.Generator().manual_seed(0)
    noise, probed = (torch.randn(n, *shape, generator=generator, dtype=torch.float64) for n in (NOISES, PROBED))
    process = denoiser.process
    columns: dict[str, str | grids.Grid] = {name: name for name in grids.EVEN}
    spent = []
    for kind in ("corrector", "predictor"):
        arc = score_optimal.measure(denoiser, probed, kind=kind)
        spent.append(f"{kind} {arc.calls:,}")
        columns |= {kind: arc.grid(1.0), f"{kind}, blend": arc.grid()}
    ends = sample(denoiser, solvers.named("dpmpp-3m").schedule(process, TEACHER), noise)
    lines = [f"| solver, calls | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in NAMES:
        for nfe in CALLS:
            cells = []
            for grid in columns.values():
                schedule = solvers.named(name).schedule(process, nfe, grid, lower_order_final=True)
                cells.append(float((sample(denoiser, schedule, noise) - ends).square().mean().sqrt()))
            best = min(cells)
            shown = (f"**{cell:.4f}**" if cell == best else f"{cell:.4f}" for cell in cells)
            lines.append(f"| {name}, {nfe} | {' | '.join(shown)} |")
    return [*lines, "", f"Passes of the probe: {', '.join(spent)}."]


def main() -> None:
    """Print both tables."""
    print("two modes", *table(bimodal(), (1,)), sep="\n")
    print("\ndigits mixture", *table(models.zoo.load("digits-mixture"), (1, 8, 8)), sep="\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
