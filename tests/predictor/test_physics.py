"""Forecasts without network calls, against models whose errors are known exactly."""

import numpy as np
import pytest
import torch

from fewstep import Schedule, Tableau, compile, grids, models, processes, solvers, states
from fewstep.predictor.physics import GAINS, Physics
from fewstep.trajectory import Trajectories
from fewstep.values.trial import Trial

PROCESS = processes.VPLinear()
EXACT = 1 + GAINS.index(1.0)  # channel of the closed loop with the Gaussian's own Jacobian
SCHEDULES = [
    solvers.named(name).schedule(PROCESS, nfe=6, grid=grid)
    for name in ("ddim", "dpmpp-2m", "dpm-3m")
    for grid in ("logsnr", "time", "quadratic")
]


def whitened(count: int, d: int) -> torch.Tensor:
    """Noises (count, d) with mean exactly 0 and covariance exactly 1."""
    noise = torch.randn(count, d, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    noise = noise - noise.mean(0)
    return noise @ torch.linalg.inv(torch.linalg.cholesky(noise.T @ noise / (count - 1))).T


@pytest.fixture(scope="module")
def gaussian() -> tuple[models.Gaussian, torch.Tensor, Trajectories]:
    """A Gaussian model, noises whose moments are exact, and the exact flow of those noises."""
    root = torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = models.Gaussian(PROCESS, mean=torch.zeros(5), covariance=0.2 * root @ root.T)
    noise = whitened(100, 5)
    lam = np.linspace(*(float(PROCESS.log_snr(t)) for t in (PROCESS.t_max, PROCESS.t_min)), 120)
    times = [PROCESS.t_max, *PROCESS.time(lam[1:-1]).tolist(), PROCESS.t_min]
    path = [noise, *(model.flow(noise, PROCESS.t_max, t) for t in times[1:])]
    outputs = [model(state, torch.full((len(state),), t)) for state, t in zip(path, times, strict=True)]
    return model, noise, Trajectories(PROCESS, lam, torch.stack(path).numpy(), torch.stack(outputs).numpy())


def measured(model: models.Gaussian, noise: torch.Tensor, schedule: Schedule) -> np.ndarray:
    """Root mean square error (N,) of every state that the solver really makes."""
    times = zip(states(model, schedule, noise), schedule.times, strict=True)
    errors = [state - model.flow(noise, PROCESS.t_max, t) for state, t in times]
    return torch.stack(errors[1:]).square().mean((1, 2)).sqrt().numpy()


def test_closed_loop_is_exact_on_a_gaussian(gaussian):
    """With gain 1 the closed loop forecasts every row's measured error where the model is Gaussian."""
    model, noise, trajectories = gaussian
    forecast = np.exp(Physics(trajectories)([compile(schedule) for schedule in SCHEDULES])[:, EXACT])
    truth = [measured(model, noise, schedule) for schedule in SCHEDULES]
    np.testing.assert_allclose(forecast, truth, rtol=0.02, atol=1e-6)


def test_gaussian_channel_is_exact_on_a_gaussian(gaussian):
    """The scalar recursions give every row's error over all noises."""
    model, noise, trajectories = gaussian
    forecast = np.exp(Physics(trajectories)([compile(schedule) for schedule in SCHEDULES])[:, -1])
    truth = [measured(model, noise, schedule) for schedule in SCHEDULES]
    np.testing.assert_allclose(forecast, truth, rtol=0.02, atol=1e-6)


def test_open_loop_is_the_replay(trajectories: Trajectories, trials: list[Trial]):
    """Compressing the trajectories loses nothing of the replay residuals."""
    tableaus = [compile(trial.schedule) for trial in trials[:60]]
    np.testing.assert_allclose(
        Physics(trajectories)(tableaus)[:, 0], np.log(trajectories.replay(tableaus)), rtol=0, atol=1e-6
    )


def test_forecasts_do_not_depend_on_company(trajectories: Trajectories, trials: list[Trial]):
    """A tableau has the same forecasts, to the bit, alone and among others: a resumed search must not differ."""
    tableaus, physics = [compile(trial.schedule) for trial in trials[:60]], Physics(trajectories)
    for forecast in (physics, physics.modes):
        np.testing.assert_array_equal(forecast(tableaus), np.concatenate([forecast([t]) for t in tableaus]))


def test_a_diverging_tableau_has_finite_forecasts(trajectories: Trajectories):
    """Weights beyond all bounds give large forecasts, not NaN or a warning."""
    sound = compile(solvers.named("ddim").schedule(PROCESS, nfe=6))
    wild = Tableau(sound.times, sound.network_times, sound.start, sound.outputs * 1e200, sound.noise)
    physics = Physics(trajectories)
    rows, modes = physics([sound, wild]), physics.modes([sound, wild])
    assert np.all(np.isfinite(rows))
    assert np.all(np.isfinite(modes))
    assert np.all(rows[1, :, -1] > rows[0, :, -1] + 10)
    assert np.all(modes[1] > modes[0] + 10)


def test_an_end_without_noise_is_forecast(trajectories: Trajectories):
    """A schedule that ends at σ = 0, where λ is infinite, has finite forecasts."""
    times = grids.time(PROCESS, 6, end=0.0)
    tableau = compile(Schedule(PROCESS, times, solvers.named("ddim").schedule(PROCESS, nfe=6).steps))
    assert np.all(np.isfinite(Physics(trajectories)([tableau])))
