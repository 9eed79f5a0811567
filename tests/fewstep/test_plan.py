"""Plans: the same states as the rows, with short sums where a solver looks back a few calls only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, Tableau, compile, solvers
from fewstep.processes import Discrete, VPLinear
from fewstep.sampling.history import History, weighted_sum
from fewstep.sampling.plan import Update, make, tail

LAW = VPLinear()
PREDICTED = ("data", "noise", "velocity")
NAMES = [name for name in solvers.names() if solvers.named(name).applies(LAW)]


def reading(prediction: str, tableau: Tableau) -> tuple[np.ndarray, np.ndarray]:
    """p and q of D = p·y + q·F at the tableau's network times."""
    alpha, sigma = LAW.alpha(tableau.network_times), LAW.sigma(tableau.network_times)
    return {
        "data": (np.zeros_like(alpha), np.ones_like(alpha)),
        "noise": (1 / alpha, -sigma / alpha),
        "velocity": (alpha, -sigma),
    }[prediction]


def by_rows(tableau: Tableau, p: np.ndarray, q: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """States from the rows themselves; ``values`` are y_0, the outputs and the noises, (1 + N + K, d)."""
    n = tableau.calls
    states, data = [values[0]], []
    for i in range(n):
        data.append(p[i] * states[i] + q[i] * values[1 + i])
        row = sum(w * d for w, d in zip(tableau.outputs[i], data, strict=False))
        states.append(tableau.start[i] * values[0] + row + tableau.noise[i] @ values[1 + n :])
    return states


def by_moves(updates: list[Update], values: np.ndarray) -> list[torch.Tensor]:
    """States from the updates, noises drawn in their order."""
    history, states = History(), [torch.tensor(values[:1])]
    noises = iter(torch.tensor(values[1 + len(updates) :]))
    for i, update in enumerate(updates):
        output = torch.tensor(values[1 + i : 2 + i])
        states.append(history.advance(update, states[-1], output, lambda: next(noises)[None]))
    assert not history._tensors  # nothing is held after its last use
    return states


def check(tableau: Tableau, prediction: str) -> list[Update]:
    """The plan makes the states that the rows make; returns it."""
    p, q = reading(prediction, tableau)
    updates = make(tableau, p, q)
    count = 1 + tableau.calls + tableau.noise.shape[1]
    values = np.random.default_rng(0).normal(size=(count, 3))
    for got, want in zip(by_moves(updates, values), by_rows(tableau, p, q, values), strict=True):
        np.testing.assert_allclose(got[0], want, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(want).max()))
    return updates


@pytest.mark.parametrize("prediction", PREDICTED)
@pytest.mark.parametrize("name", NAMES)
def test_a_plan_makes_the_states_of_the_rows(name: str, prediction: str) -> None:
    """Every named solver, whatever the network predicts."""
    for nfe in (1, 3, 8, 20):
        check(compile(solvers.named(name).schedule(LAW, nfe, "quadratic")), prediction)


@pytest.mark.parametrize(
    ("name", "prediction", "passes"),
    [
        ("ddim", "noise", 2),
        ("dpmpp-2m", "noise", 4),
        ("dpmpp-2m", "data", 3),
        ("dpm-2m", "noise", 3),
        ("dpmpp-3m", "data", 4),
        ("dpmpp-3m", "noise", 5),
    ],
)
def test_a_call_costs_the_same_late_as_early(name: str, prediction: str, passes: int) -> None:
    """Multistep solvers go over a state as often as they have free weights: one a pass, what is kept included."""
    updates = check(compile(solvers.named(name).schedule(LAW, 20, lower_order_final=False)), prediction)
    assert {update.passes for update in updates[4:-3]} == {passes}
    assert max(update.passes for update in updates) == passes


def test_a_call_makes_one_new_tensor() -> None:
    """The next state is made in what is used for the last time; what is kept is all that wants room."""
    for prediction in PREDICTED:
        updates = check(compile(solvers.named("dpmpp-2m").schedule(LAW, 20)), prediction)
        assert all(update.onto == ("output", i) for i, update in enumerate(updates[1:-1]))
        assert all(len(update.keeps) == 1 and not update.drops for update in updates[1:-2])


def test_noise_is_not_written_to() -> None:
    """Noise may belong to the caller: no sum is made in it, not even where its weight is 1."""
    fresh = torch.ones(1, 3)
    updates = make(Tableau([1.0, 0.5], [1.0], [0.5], [[0.5]], [[1.0]]))
    History().advance(updates[0], torch.ones(1, 3), torch.ones(1, 3), lambda: fresh)
    assert torch.equal(fresh, torch.ones(1, 3))


def test_fitted_rows_are_applied_as_they_stand() -> None:
    """A dense row has no shorter form; it still continues the last state, so that a changed state is carried on."""
    tableau = compile(solvers.named("dpmpp-3m").schedule(LAW, 6))
    wild = np.random.default_rng(1)
    rows = replace(
        tableau,
        start=tableau.start * wild.uniform(0.9, 1.0, 6),
        outputs=tableau.outputs + np.tril(wild.normal(0, 0.1, (6, 6))),
    )
    updates = check(rows, "noise")
    assert all(update.state for update in updates)


@pytest.mark.parametrize("start", [[0.0, 0.0, 0.0], [1e-9, 0.5, 0.2], [0.0, 0.5, 0.0]])
def test_odd_start_weights(start: list[float]) -> None:
    """A state that has lost the start, or nearly, is no anchor: the start is kept instead."""
    outputs = np.tril(np.random.default_rng(2).normal(size=(3, 3)))
    updates = check(Tableau([1.0, 0.6, 0.3, 0.1], [1.0, 0.6, 0.3], start, outputs, np.zeros((3, 0))), "noise")
    assert all(abs(update.state) < 1e3 for update in updates)


def ancestral(nfe: int, eta: float = 1.0) -> Tableau:
    """DDIM with fresh noise after every call but the last (Song et al. 2021, eq. 16)."""
    times = np.array(solvers.named("ddim").schedule(LAW, nfe, "time").times)
    alpha, sigma = LAW.alpha(times), LAW.sigma(times)
    rows = np.zeros((nfe + 1, 1 + nfe + nfe - 1))
    rows[0, 0] = 1.0
    for i in range(nfe):
        fresh = eta * sigma[i + 1] / sigma[i] * np.sqrt(1 - (alpha[i] / alpha[i + 1]) ** 2) if i < nfe - 1 else 0.0
        data = np.eye(rows.shape[1])[1 + i]
        rows[i + 1] = alpha[i + 1] * data
        rows[i + 1] += np.sqrt(sigma[i + 1] ** 2 - fresh**2) / sigma[i] * (rows[i] - alpha[i] * data)
        if fresh:
            rows[i + 1, 1 + nfe + i] = fresh
    return Tableau(times, times[:-1], rows[1:, 0], rows[1:, 1 : 1 + nfe], rows[1:, 1 + nfe :])


@pytest.mark.parametrize("prediction", PREDICTED)
def test_a_noise_is_drawn_once_and_forgotten(prediction: str) -> None:
    """Fresh noise enters a Markov solver once: three passes a call, one noise each, none kept."""
    updates = check(ancestral(8), prediction)
    assert [update.passes for update in updates] == [3] * 7 + [2]
    assert [update.fresh for update in updates] == [(("noise", i),) for i in range(7)] + [()]


def test_the_whole_tail_is_the_tableau() -> None:
    """Beginning at call 0 changes nothing."""
    tableau = compile(solvers.named("dpmpp-2m").schedule(LAW, 6))
    assert tail(tableau, LAW, 0) is tableau


@pytest.mark.parametrize("name", ["ddim", "dpm-2m", "dpmpp-2m"])
@pytest.mark.parametrize("begin", [1, 3, 5])
def test_a_tail_of_a_second_order_solver_is_that_solver_begun_later(name: str, begin: int) -> None:
    """From call b on, rows are those of the schedule on the times from t_b with a first step of order 1."""
    for law in (LAW, Discrete.linear_betas()):
        whole = solvers.named(name).schedule(law, 6, "time")
        later = Schedule(law, whole.times[begin:], (Step(), *whole.steps[begin + 1 :]))
        assert tail(compile(whole), law, begin).close_to(compile(later), 1e-9)


@pytest.mark.parametrize("begin", [1, 2, 4])
def test_every_tail_reproduces_constants(begin: int) -> None:
    """Where the network always returns x_0, a run from α_b·x_0 + σ_b·ε ends at α_N·x_0 + σ_N·ε."""
    for name in (name for name in NAMES if not solvers.named(name).stochastic):
        tableau = tail(compile(solvers.named(name).schedule(LAW, 6)), LAW, begin)
        alpha, sigma = LAW.alpha(tableau.times), LAW.sigma(tableau.times)
        np.testing.assert_allclose(tableau.start, sigma[1:] / sigma[0], rtol=1e-9)
        np.testing.assert_allclose(tableau.outputs.sum(1) + tableau.start * alpha[0], alpha[1:], rtol=1e-9)


def test_a_tail_with_noise_keeps_the_marginals() -> None:
    """A Markov solver begun later is the same solver: states keep mean α·x_0 and variance σ², past noises are gone."""
    later = tail(ancestral(8), LAW, 3)
    assert later.noise.shape == (5, 4)
    alpha, sigma = LAW.alpha(later.times), LAW.sigma(later.times)
    variance = (later.start * sigma[0]) ** 2 + (later.noise**2).sum(1)
    np.testing.assert_allclose(variance, sigma[1:] ** 2, rtol=1e-9)
    np.testing.assert_allclose(later.outputs.sum(1) + later.start * alpha[0], alpha[1:], rtol=1e-9)


def test_a_weighted_sum_is_always_new_and_as_wide_as_asked() -> None:
    """Terms of weight zero are not looked at; narrow terms are widened before they are weighted."""
    wide, narrow = torch.ones(3), torch.full((3,), 1 / 3, dtype=torch.float16)
    assert weighted_sum([(wide, 0.0)], wide).tolist() == [0.0] * 3
    same = weighted_sum([(wide, 1.0)], wide)
    assert torch.equal(same, wide)
    assert same.data_ptr() != wide.data_ptr()
    copied = weighted_sum([(narrow, 1.0)], narrow)
    assert copied.data_ptr() != narrow.data_ptr()
    nothing = torch.full((3,), float("nan"))
    assert weighted_sum([(nothing, 0.0), (narrow, 3.0)], wide).dtype == torch.float32
    torch.testing.assert_close(weighted_sum([(narrow, 3.0)], wide), narrow.float() * 3.0, rtol=0, atol=0)
    torch.testing.assert_close(weighted_sum([(wide, 1.0), (narrow, 2.0)], wide), 1 + 2 * narrow.float())


def test_a_weighted_sum_may_be_made_in_place() -> None:
    """``onto`` is the sum's first term and its place, even where nothing is added."""
    place, term = torch.ones(3), torch.full((3,), 2.0, dtype=torch.float16)
    assert weighted_sum([(term, 0.0)], place, place) is place
    assert weighted_sum([(term, 3.0), (term, 1.0)], place, place) is place
    assert place.tolist() == [9.0] * 3
