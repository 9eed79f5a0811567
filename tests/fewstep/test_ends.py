"""Both ends of time: sampling from pure noise (α = 0) and to clean data (σ = 0) stays finite and exact."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, compile, grids, models, sample, solvers
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

WHOLE = {
    "vp-linear": VPLinear(t_min=0.0),
    "cosine": Cosine(t_min=0.0),
    "cosine-from-noise": Cosine(t_min=0.0, t_max=1.0),
    "ve": VE(t_min=0.0),
    "flow": Flow(),
    "flow-shifted": Flow(shift=3.0),
    "ddm": DDM(),
}
each_law = pytest.mark.parametrize("law", WHOLE.values(), ids=WHOLE)


def noise(count: int = 32) -> torch.Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def gaussian(law: Process) -> models.Gaussian:
    return models.Gaussian(law, torch.tensor([0.4, -0.2]), torch.tensor([[0.9, 0.3], [0.3, 0.5]]))


def even(law: Process, nfe: int) -> tuple[float, ...]:
    """Even in λ down to a little noise, then to clean data."""
    return (*grids.logsnr(law, nfe - 1, end=0.02), 0.0)


@pytest.mark.parametrize("name", solvers.names())
def test_every_solver_reaches_clean_data(name: str, subtests: pytest.Subtests) -> None:
    """From t_max to σ = 0 samples are finite and near the closed-form flow, or near its law where noise is added.

    A last step of first order ends on the last output exactly.
    """
    solver = solvers.named(name)
    calls = 120 if solver.stochastic else 40
    start = noise() if not solver.stochastic else noise(4096)
    for law in filter(solver.applies, WHOLE.values()):
        with subtests.test(law=repr(law)):
            schedule = solver.schedule(law, calls, even if law.kind == "ve" else "time")
            tableau = compile(schedule)
            assert schedule.times[-1] == law.t_zero
            if schedule.steps[-1].order == 1:
                np.testing.assert_array_equal(tableau.start[-1], 0.0)
                np.testing.assert_array_equal(tableau.outputs[-1], np.eye(calls)[-1])
                assert not tableau.noise[-1].any()
            truth = gaussian(law).flow(law.prior_std * start, law.t_max, law.t_zero)
            got = sample(gaussian(law), schedule, start, generator=torch.Generator().manual_seed(1))
            if solver.stochastic:
                got, truth = (torch.cat([values.mean(0), values.T.cov().flatten()]) for values in (got, truth))
                torch.testing.assert_close(got, truth, rtol=0.1, atol=0.1)
            else:
                torch.testing.assert_close(got, truth, rtol=0.05, atol=0.05)


@each_law
def test_more_calls_converge_to_clean_data(law: Process) -> None:
    """The error at σ = 0 falls with the number of calls."""
    truth = gaussian(law).flow(law.prior_std * noise(), law.t_max, law.t_zero)
    errors = [
        (sample(gaussian(law), solvers.named("dpmpp-2m").schedule(law, n, "quadratic"), noise()) - truth).abs().max()
        for n in (10, 40, 160)
    ]
    assert all(fine < 0.5 * coarse for coarse, fine in pairwise(errors))


def test_pure_noise_knows_nothing_of_the_data() -> None:
    """At α = 0 the exact denoiser is the mean of the data, so the first step is toward the mean."""
    law = Cosine(t_min=0.0, t_max=1.0)
    output = gaussian(law)(noise(), torch.ones(32, dtype=torch.float64))
    torch.testing.assert_close(output, torch.tensor([0.4, -0.2]).double().expand(32, 2), rtol=0, atol=1e-7)
    schedule = Schedule(law, (1.0, 0.5), (Step(),))
    wanted = float(law.alpha(0.5)) * output + float(law.sigma(0.5)) * noise()
    torch.testing.assert_close(sample(gaussian(law), schedule, noise()), wanted, rtol=1e-12, atol=1e-12)


def test_one_step_spans_all_of_time() -> None:
    """From α = 0 to σ = 0 in one call: the sample is the first prediction, whatever the prediction type."""
    law = Cosine(t_min=0.0, t_max=1.0)
    for prediction in ("data", "noise"):
        tableau = compile(Schedule(law, (1.0, 0.0), (Step(prediction),)))
        assert tableau.start.tolist() == [0.0]
        assert tableau.outputs.tolist() == [[1.0]]


def test_velocity_networks_may_start_from_pure_noise() -> None:
    """At α = 0 a velocity prediction v = α ε − σ x_0 still says what the data are; noise prediction cannot."""
    law = Cosine(t_min=0.0, t_max=1.0)
    exact = gaussian(law)

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = law.alpha(t)[:, None], law.sigma(t)[:, None]
        clean = exact(x, t)
        return alpha * (x - alpha * clean) / sigma - sigma * clean

    denoiser = models.from_callable(velocity, law, "velocity")
    schedule = solvers.named("dpmpp-3m").schedule(law, 8, "time")
    torch.testing.assert_close(sample(denoiser, schedule, noise()), sample(exact, schedule, noise()), rtol=0, atol=1e-9)


def test_discrete_ends_on_clean_data_below_its_table() -> None:
    """t = −1 lies below the table and is σ = 0, where diffusers' final_sigmas_type "zero" ends."""
    law = Discrete.linear_betas()
    times = grids.time(law, 10, end=-1.0)
    steps = solvers.named("dpmpp-2m").schedule(law, 10, "time").steps
    schedule = Schedule(law, times, steps)
    assert compile(schedule).outputs[-1].tolist() == [0.0] * 9 + [1.0]
    assert sample(gaussian(law), schedule, noise()).isfinite().all()
