"""Every named solver against its paper, written out as a loop over states in float64 (`tests.fewstep.textbook`).

The loops share nothing with the library but the noise law and the denoiser; how times and orders are laid out is
stated here once more. Both sides are exact but for rounding, which grows with the largest number on the way.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fewstep import compile, grids, sample, solvers
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear
from tests.fewstep.textbook import multistep, plain, singlestep, stochastic
from tests.fewstep.textbook.common import Run

LAWS = {
    "vp-linear": VPLinear(),
    "cosine": Cosine(),
    "cosine-ends": Cosine(t_min=0.0, t_max=1.0),
    "discrete": Discrete.linear_betas(),
    "ve": VE(),
    "ve-end": VE(t_min=0.0),
    "flow": Flow(t_min=1e-3, t_max=0.99),
    "flow-ends": Flow(shift=3.0),
    "ddm": DDM(t_min=1e-4, t_max=0.99),
    "ddm-ends": DDM(),
}


class Layout:
    """Times, orders and strides of a solver, by the rules that its paper and diffusers state."""

    def __init__(self, law: Process, nfe: int, grid: str) -> None:
        self.law, self.nfe, self.place = law, nfe, grids.named(grid)
        self.times = list(self.place(law, nfe))
        self.noisy, self.clean = float(law.alpha(law.t_max)) == 0, float(law.sigma(law.t_min)) == 0

    def orders(self, most: int, *, lower: bool = True, late: bool = True, clean: bool = False) -> list[int]:
        """Order of each step: outputs so far, the calls left (``lower``, below 15), 1 at infinite ends.

        ``late``: an output at pure noise does not count. ``clean``: the last order may stay at σ = 0.
        """
        skipped = int(self.noisy and late)
        orders = [min(most, max(i + 1 - skipped, 1)) for i in range(self.nfe)]
        if lower and self.nfe < 15:
            orders = [min(order, self.nfe - i) for i, order in enumerate(orders)]
        if self.noisy:
            orders[0] = 1
        if self.clean and not clean:
            orders[-1] = 1
        return orders

    def strides(self, most: int, by_call: bool, heun_from_noise: bool = False) -> tuple[list[float], list[int]]:
        """Outer times and calls of each stride: as many of the largest as fit, single calls at infinite ends."""
        first = [1] if self.noisy and not heun_from_noise else []
        last = [1] if self.clean else []
        count, left = divmod(self.nfe - len(first) - len(last), most)
        middle = [most] * count + ([left] if left else [])
        if most == 3 and left == 0 and not last:  # DPM-Solver ends 3, …, 3, 2, 1
            middle = [3] * (count - 1) + [2, 1]
        sizes = first + middle + last
        if not by_call:
            return list(self.place(self.law, len(sizes))), sizes
        return [self.times[k] for k in np.cumsum([0, *sizes])], sizes


def dpm_multistep(name: str) -> Callable:
    data, order, heun = "pp" in name, 3 if "3m" in name else 2, name.endswith("heun")
    return lambda run, at, x: multistep.dpm(run, at.times, at.orders(order), x, data, heun)


def dpm_singlestep(name: str) -> Callable:
    heun, most = name.endswith("heun"), 3 if "3s" in name else 2
    data, noise = (singlestep.dpmpp_2s, singlestep.dpmpp_3s), (singlestep.dpm_2s, singlestep.dpm_3s)
    loops = dict(zip((2, 3), data if "pp" in name else noise, strict=True))
    steps = {k: lambda *a, k=k: loops[k](*a, heun=heun) for k in loops}
    return lambda run, at, x: singlestep.strides(run, *at.strides(most, by_call=True), x, steps)


def noise_adams(most: int, weights: Callable, lower: bool, late: bool) -> Callable:
    def loop(run: Run, at: Layout, x: torch.Tensor) -> torch.Tensor:
        orders = at.orders(most, lower=lower, late=late, clean=True)
        return multistep.adams(run, at.times, orders, x, weights(run))

    return loop


def pndm(fourth: bool) -> Callable:
    def loop(run: Run, at: Layout, x: torch.Tensor) -> torch.Tensor:
        size, starts = (4, 3) if fourth else (2, 1)
        room = at.nfe - int(at.noisy) - int(at.clean)
        starts = min(starts, room // size)
        count = at.nfe - starts * (size - 1)
        return multistep.pndm(run, list(at.place(at.law, count)), starts, x, fourth)

    return loop


SINGLESTEP = [f"{kind}-{k}s{heun}" for kind in ("dpm", "dpmpp") for k in (2, 3) for heun in ("", "-heun")]
LOOPS: dict[str, Callable] = {
    "ddim": lambda run, at, x: multistep.dpm(run, at.times, [1] * at.nfe, x, False, False),
    "sde-dpmpp-1": lambda run, at, x: stochastic.sde_dpmpp(run, at.times, [1] * at.nfe, x, False),
    "sde-dpmpp-2m": lambda run, at, x: stochastic.sde_dpmpp(run, at.times, at.orders(2), x, False),
    "sde-dpmpp-3m": lambda run, at, x: stochastic.sde_dpmpp(run, at.times, at.orders(3), x, False),
    "sde-dpmpp-2m-heun": lambda run, at, x: stochastic.sde_dpmpp(run, at.times, at.orders(2), x, True),
    "ddpm": lambda run, at, x: stochastic.ddpm(run, at.times, x),
    "s-pndm": pndm(fourth=False),
    "f-pndm": pndm(fourth=True),
    "euler": lambda run, at, x: plain.karras(run, at.times, [1] * at.nfe, x),
    "heun": lambda run, at, x: plain.karras(run, *at.strides(2, by_call=False), x),
    "ddm": lambda run, at, x: plain.ddm(run, at.times, x, False),
    "ddm-sde": lambda run, at, x: plain.ddm(run, at.times, x, True),
    "flow-euler": lambda run, at, x: plain.flow(run, at.times, [1] * at.nfe, x),
    "flow-heun": lambda run, at, x: plain.flow(run, *at.strides(2, by_call=False, heun_from_noise=True), x),
    **{name: dpm_multistep(name) for name in ("dpm-2m", "dpm-3m", "dpmpp-2m", "dpmpp-3m")},
    **{name: dpm_multistep(name) for name in ("dpm-2m-heun", "dpmpp-2m-heun")},
    **{name: dpm_singlestep(name) for name in SINGLESTEP},
    **{
        f"unipc-{k}-{b}": lambda run, at, x, k=k, b=b: multistep.unipc(run, at.times, at.orders(k), x, b)
        for k in (1, 2, 3)
        for b in ("bh1", "bh2")
    },
    **{f"deis-{k}": noise_adams(k, multistep.deis, lower=True, late=False) for k in (1, 2, 3, 4)},
    **{f"rho-deis-{k}": noise_adams(k, multistep.rho_adams, lower=True, late=True) for k in (1, 2, 3)},
    **{f"lms-{k}": noise_adams(k, multistep.rho_adams, lower=False, late=True) for k in (1, 2, 3, 4)},
    **{
        f"ipndm-{k}": noise_adams(k, lambda run: multistep.fixed(run, multistep.ADAMS), lower=False, late=False)
        for k in (1, 2, 3, 4)
    },
    **{
        f"sa-solver-{k}": lambda run, at, x, k=k: stochastic.sa_solver(run, at.times, at.orders(k), max(k, 2), x)
        for k in (1, 2, 3)
    },
}


def test_every_solver_has_a_textbook_loop() -> None:
    """A new solver without a loop of its own fails here."""
    assert set(LOOPS) == set(solvers.names())


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("name", LOOPS)
def test_a_named_solver_is_its_paper(make_mixture, name: str, law: Process) -> None:
    """The same end to 1e-10, with the same fresh noises where it adds any: with 3, 5 and 20 calls on the grid that
    suits the law, with 10 on another."""
    solver = solvers.named(name)
    if not solver.applies(law):
        with pytest.raises(ValueError, match=f"{name} is made for the process"):
            solver.schedule(law, 5)
        return
    denoiser = make_mixture(law)
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for grid, counts in ((grids.suitable(law)[0], (3, 5, 20)), ("quadratic", (10,))):
        for nfe in counts:
            schedule = solver.schedule(law, nfe, grid)
            count = compile(schedule).noise.shape[1]
            fresh = torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(nfe), dtype=torch.float64)
            run = Run(denoiser, law, fresh)
            wanted = LOOPS[name](run, Layout(law, nfe, grid), law.prior_std * noise)
            got = sample(denoiser, schedule, noise, fresh=fresh)
            assert run.drawn == count
            assert got.isfinite().all()
            error = float((got - wanted).abs().max())
            assert error <= 1e-10 * run.largest, (grid, nfe, error, run.largest)
