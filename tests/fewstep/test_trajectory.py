"""Stored trajectories: interpolation in λ and replay of tableaus on them."""

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, compile, grids, models, solvers
from fewstep.errors import InvalidInput
from fewstep.processes import VPLinear
from fewstep.trajectory import Trajectories

LAW = VPLinear()


def uneven(count: int) -> np.ndarray:
    """Rising log-SNRs with very different gaps, over the law's whole range."""
    low, high = LAW.log_snr(np.array([LAW.t_max, LAW.t_min]))
    shares = np.sort(np.random.default_rng(0).uniform(size=count - 2))
    return low + (high - low) * np.concatenate([[0.0], shares, [1.0]])


def cubics(lam: np.ndarray) -> np.ndarray:
    """Six different cubic polynomials of λ, (..., 3, 2)."""
    powers = lam[..., None, None, None] ** np.arange(4)
    return (powers * np.random.default_rng(1).standard_normal((3, 2, 4))).sum(-1)


def exact(count: int) -> Trajectories:
    """The flow of a Gaussian in closed form: states and data predictions at evenly spaced λ."""
    gaussian = models.Gaussian(LAW, torch.tensor([0.5, -0.3]), torch.tensor([[0.8, 0.2], [0.2, 0.4]]))
    noise = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = grids.logsnr(LAW, count - 1)
    states = torch.stack([gaussian.flow(noise, LAW.t_max, t) for t in times])
    outputs = torch.stack(
        [gaussian(y, torch.full((20,), t, dtype=torch.float64)) for y, t in zip(states, times, strict=True)]
    )
    return Trajectories(LAW, LAW.log_snr(np.array(times)), states.numpy(), outputs.numpy())


@pytest.mark.parametrize("count", [4, 5, 30])
def test_cubics_are_interpolated_exactly(count: int) -> None:
    """Between any knots, near both ends and on uneven knots, a cubic in λ comes back to rounding."""
    knots = uneven(count)
    stored = Trajectories(LAW, knots, cubics(knots), -cubics(knots))
    where = np.random.default_rng(2).uniform(knots[0], knots[-1], size=(7, 11))
    np.testing.assert_allclose(stored.at(stored.states, where), cubics(where), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(stored.at(stored.outputs, where), -cubics(where), rtol=1e-7, atol=1e-7)


def test_knots_are_kept() -> None:
    """At a stored log-SNR the stored value comes back; beyond them the nearest end does, also at λ = ±∞."""
    knots = uneven(9)
    stored = Trajectories(LAW, knots, cubics(knots), cubics(knots))
    np.testing.assert_allclose(stored.at(stored.states, knots), stored.states, rtol=1e-12, atol=1e-12)
    beyond = stored.at(stored.states, np.array([-np.inf, knots[0] - 1, knots[-1] + 1, np.inf]))
    np.testing.assert_allclose(beyond, stored.states[[0, 0, -1, -1]], rtol=1e-12, atol=1e-12)
    assert stored.at(stored.states, np.float64(0.5)).shape == (3, 2)


def test_only_the_four_knots_around_a_point_count() -> None:
    """Two knots on either side: a spike anywhere else leaves the value alone."""
    knots = np.arange(10.0)
    for spike in range(10):
        values = np.zeros((10, 1, 1))
        values[spike] = 1.0
        inside = Trajectories(LAW, knots, values, values).at(values, np.array([4.25, 4.75]))[:, 0, 0]
        assert np.all(inside != 0) == (spike in (3, 4, 5, 6))


def test_interpolation_is_of_fourth_order() -> None:
    """Halving the distance of the knots divides the error on a smooth curve by about 16."""
    errors = []
    for count in (41, 81, 161):
        knots = np.linspace(-4, 4, count)
        curve = np.tanh(knots)[:, None, None]
        where = np.linspace(-3.9, 3.9, 1001)
        stored = Trajectories(LAW, knots, curve, curve)
        errors.append(np.abs(stored.at(curve, where)[:, 0, 0] - np.tanh(where)).max())
    assert errors[0] / errors[1] > 11
    assert errors[1] / errors[2] > 13


def test_a_converged_tableau_replays_to_nothing() -> None:
    """On exact trajectories the residual of every row falls to zero with the calls, at the solver's order or better."""
    stored = exact(201)
    residuals = []
    for calls in (25, 50, 100):
        steps = tuple(Step("data", min(3, i + 1)) for i in range(calls))
        residuals.append(stored.replay([compile(Schedule(LAW, grids.logsnr(LAW, calls), steps))]).max())
    assert residuals[-1] < 1e-4
    assert residuals[0] / residuals[1] > 3
    assert residuals[1] / residuals[2] > 3


def test_replay_is_the_rms_of_what_the_rows_make() -> None:
    """Residual i is the root mean square of c_i·y_0 + Σ W_ij·D*(t_j) − y*(t_{i+1}), here summed in plain loops."""
    stored = exact(81)
    tableaus = [compile(solvers.named(name).schedule(LAW, 5, "quadratic")) for name in ("ddim", "dpm-2m")]
    got = stored.replay(tableaus)
    assert got.shape == (2, 5)
    for m, tableau in enumerate(tableaus):
        lam = LAW.log_snr(tableau.times)
        for i in range(5):
            made = tableau.start[i] * stored.states[0]
            for j in range(i + 1):
                made = made + tableau.outputs[i, j] * stored.at(stored.outputs, lam[j])
            wanted = np.sqrt(np.mean((made - stored.at(stored.states, lam[i + 1])) ** 2))
            assert got[m, i] == pytest.approx(wanted, rel=1e-10)


def test_replay_of_an_exact_row_is_zero() -> None:
    """With constant outputs and straight states every solver is exact, and so is its replay."""
    knots = uneven(40)
    times = LAW.time(knots)
    clean = np.random.default_rng(3).standard_normal((6, 2))
    noise = np.random.default_rng(4).standard_normal((6, 2))
    states = LAW.alpha(times)[:, None, None] * clean + LAW.sigma(times)[:, None, None] * noise
    stored = Trajectories(LAW, knots, states, np.broadcast_to(clean, states.shape))
    picked = tuple(float(t) for t in times[[0, 5, 17, 30, 39]])
    steps = (Step(), Step("noise", 2), Step("data", 3), Step("data", 2, "bh2"))
    residuals = stored.replay([compile(Schedule(LAW, (1.0, *picked[1:-1], LAW.t_min), steps))])
    np.testing.assert_allclose(residuals, 0.0, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_snrs": np.arange(3.0)}, "at least 4 rising log-SNRs"),
        ({"log_snrs": np.zeros(5)}, "at least 4 rising log-SNRs"),
        ({"log_snrs": np.arange(5.0)[::-1]}, "at least 4 rising log-SNRs"),
        ({"log_snrs": np.array([0, 1, 2, 3, np.nan])}, "finite log_snrs"),
        ({"states": np.full((5, 2, 3), np.inf)}, "finite states"),
        ({"states": np.zeros((4, 2, 3))}, r"K = 5, got \(4, 2, 3\) and \(5, 2, 3\)"),
        ({"states": np.zeros((5, 6)), "outputs": np.zeros((5, 6))}, r"\(K, n, d\)"),
    ],
)
def test_bad_trajectories_are_refused(change: dict, message: str) -> None:
    """Shapes, order and finiteness are checked when they are made."""
    good = {"log_snrs": np.arange(5.0), "states": np.zeros((5, 2, 3)), "outputs": np.zeros((5, 2, 3))}
    with pytest.raises(InvalidInput, match=message):
        Trajectories(LAW, **{**good, **change})


def test_replay_wants_tableaus_of_one_length() -> None:
    """A mixed list is refused with the lengths."""
    tableaus = [compile(solvers.named("ddim").schedule(LAW, n)) for n in (3, 4)]
    with pytest.raises(InvalidInput, match=r"one length, got \[3, 4\] calls"):
        exact(10).replay(tableaus)
