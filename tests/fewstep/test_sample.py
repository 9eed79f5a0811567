"""The sampling loop: precision, shapes, calls, independence of the batch, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, Tableau, compile, models, sample, solvers, states
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.processes import Discrete, Process, VPLinear

LAW = VPLinear()
SCHEDULE = solvers.named("dpmpp-2m").schedule(LAW, 5)


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=dtype)


def test_states_apply_the_rows(make_mixture) -> None:
    """Each state is c·y_0 + Σ W·D of the states before it; sample is the last of them."""
    denoiser, start, tableau = make_mixture(LAW), noise(4, 3), compile(SCHEDULE)
    got = list(states(denoiser, SCHEDULE, start))
    assert len(got) == 6
    assert torch.equal(got[0], start)
    outputs = [
        denoiser(y, torch.full((4,), t, dtype=y.dtype)) for y, t in zip(got, tableau.network_times, strict=False)
    ]
    for i in range(5):
        row = sum(float(w) * d for w, d in zip(tableau.outputs[i], outputs, strict=True))
        torch.testing.assert_close(got[i + 1], float(tableau.start[i]) * start + row, rtol=1e-12, atol=1e-12)
    assert torch.equal(sample(denoiser, SCHEDULE, start), got[-1])


def test_the_network_is_called_once_a_step_at_its_paper_times() -> None:
    """N calls with (B,) times taken from network_times, in the states' precision."""
    seen = []

    def function(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(t)
        return 0.1 * x

    rows = replace(compile(SCHEDULE), network_times=[0.9, 0.7, 0.5, 0.3, 0.1])
    sample(models.from_callable(function, LAW, "data"), rows, noise(3, 2, dtype=torch.float32))
    assert [t.shape for t in seen] == [(3,)] * 5
    assert [t.dtype for t in seen] == [torch.float32] * 5
    np.testing.assert_allclose([t[0].item() for t in seen], rows.network_times, rtol=1e-6)


def test_a_schedule_and_its_tableau_sample_alike(make_mixture) -> None:
    """Users may hand over either."""
    denoiser = make_mixture(LAW)
    assert torch.equal(sample(denoiser, SCHEDULE, noise(2, 3)), sample(denoiser, compile(SCHEDULE), noise(2, 3)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32)],
)
def test_states_are_float32_or_better(given: torch.dtype, kept: torch.dtype) -> None:
    """Half-precision noise is widened; the network may answer in its own precision."""
    half = models.from_callable(lambda x, t: x.half(), LAW, "data")
    assert sample(half, SCHEDULE, noise(2, 3).to(given)).dtype == kept


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3), (3, 1, 1)])
def test_samples_may_have_any_shape(make_mixture, shape: tuple[int, ...]) -> None:
    """The shape of the noise is the shape of the samples, and does not change the numbers."""
    denoiser = make_mixture(LAW)
    got = sample(denoiser, SCHEDULE, noise(5, 3).reshape(5, *shape))
    assert got.shape == (5, *shape)
    torch.testing.assert_close(got.reshape(5, 3), sample(denoiser, SCHEDULE, noise(5, 3)), rtol=1e-12, atol=1e-12)


def test_results_do_not_depend_on_the_batch(make_mixture) -> None:
    """A sample is the same alone, in a batch and in another order, to rounding."""
    denoiser, start = make_mixture(LAW), noise(7, 3)
    together = sample(denoiser, SCHEDULE, start)
    alone = torch.cat([sample(denoiser, SCHEDULE, start[i : i + 1]) for i in range(7)])
    backwards = sample(denoiser, SCHEDULE, start.flip(0)).flip(0)
    torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(backwards, together, rtol=1e-11, atol=1e-11)


def test_an_empty_batch_gives_an_empty_batch(make_mixture) -> None:
    """No noises, no samples, no error."""
    assert sample(make_mixture(LAW), SCHEDULE, noise(0, 3)).shape == (0, 3)


def test_noise_and_kept_states_are_not_written_to(make_mixture) -> None:
    """The loop changes neither the caller's noise nor a state it has handed out."""
    start = noise(2, 3)
    before = start.clone()
    got = list(states(make_mixture(LAW), SCHEDULE, start))
    copies = [y.clone() for y in states(make_mixture(LAW), SCHEDULE, start)]
    assert torch.equal(start, before)
    assert all(torch.equal(a, b) for a, b in zip(got, copies, strict=True))


def test_gradients_flow_through_states_but_not_through_sample(make_mixture) -> None:
    """`states` is differentiable, for polishing; `sample` keeps no graph."""
    start = noise(2, 3).requires_grad_()
    *_, last = states(make_mixture(LAW), SCHEDULE, start)
    (gradient,) = torch.autograd.grad(last.sum(), start)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    assert not sample(make_mixture(LAW), SCHEDULE, start).requires_grad


def test_the_start_has_the_prior_scale() -> None:
    """y_0 = prior_std · noise."""

    class Wide(VPLinear):
        prior_std = 80.0

    denoiser = models.from_callable(lambda x, t: x, Wide(), "data")
    assert torch.equal(next(states(denoiser, compile(SCHEDULE), torch.ones(1, 1))), torch.full((1, 1), 80.0))


def test_a_converged_solver_follows_the_gaussian_flow(process: Process) -> None:
    """Hundreds of calls end where the closed form does."""
    gaussian = models.Gaussian(process, torch.tensor([0.3, -0.6]), torch.tensor([[0.5, 0.2], [0.2, 0.3]]))
    schedule = solvers.named("dpmpp-2m").schedule(process, 400, lower_order_final=False)
    start = noise(16, 2)
    truth = gaussian.flow(start, process.t_max, process.t_min)
    torch.testing.assert_close(sample(gaussian, schedule, start), truth, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.ones(3), r"noise is a float tensor \(batch, ...\), got torch.float32 of shape \(3,\)"),
        (torch.ones(3, 2, dtype=torch.int64), "got torch.int64"),
        (torch.tensor(1.0), r"of shape \(\)"),
    ],
)
def test_bad_noise_is_refused(make_mixture, start: torch.Tensor, message: str) -> None:
    """Noise is floating point and batched."""
    with pytest.raises(InvalidInput, match=message):
        sample(make_mixture(LAW), SCHEDULE, start)


def test_a_schedule_of_another_process_is_refused(make_mixture) -> None:
    """A schedule's times mean nothing under another noise law; the message shows both."""
    with pytest.raises(InvalidInput, match=r"made for VPLinear.* model's process is Discrete"):
        sample(make_mixture(Discrete((0.9, 0.5))), SCHEDULE, noise(2, 3))


NOISY = solvers.named("sde-dpmpp-2m").schedule(LAW, 5)


def test_a_stochastic_tableau_is_refused_without_noise(make_mixture) -> None:
    """Rows with fresh noise are not silently run without it."""
    noisy = Tableau([1.0, 0.5], [1.0], [0.5], [[0.5]], [[0.1]])
    with pytest.raises(InvalidInput, match=r"adds fresh noise 1 times: pass a generator.*deterministic"):
        sample(make_mixture(LAW), noisy, noise(2, 3))


def test_given_noises_are_the_tableaus(make_mixture) -> None:
    """States are c·y_0 + Σ W·D + Σ S·z with z_k the k-th of ``fresh``."""
    denoiser, start, tableau = make_mixture(LAW), noise(4, 3), compile(NOISY)
    fresh = noise(6, 5, 4, 3)[0]
    got = list(states(denoiser, NOISY, start, fresh=fresh))
    outputs = [
        denoiser(y, torch.full((4,), t, dtype=y.dtype)) for y, t in zip(got, tableau.network_times, strict=False)
    ]
    for i in range(5):
        row = sum(float(w) * d for w, d in zip(tableau.outputs[i], outputs, strict=True))
        added = sum(float(w) * z for w, z in zip(tableau.noise[i], fresh, strict=True))
        wanted = float(tableau.start[i]) * start + row + added
        torch.testing.assert_close(got[i + 1], wanted, rtol=1e-12, atol=1e-12)


def test_a_generator_draws_in_the_order_of_the_calls(make_mixture) -> None:
    """One generator for the batch draws z_0, then z_1, … by torch.randn, in the states' precision."""
    same = torch.Generator().manual_seed(9)
    drawn = torch.stack([torch.randn(2, 3, generator=same, dtype=torch.float64) for _ in range(5)])
    got = sample(make_mixture(LAW), NOISY, noise(2, 3), generator=torch.Generator().manual_seed(9))
    assert torch.equal(got, sample(make_mixture(LAW), NOISY, noise(2, 3), fresh=drawn))


def test_a_seed_for_each_sample_makes_it_independent_of_the_batch(make_mixture) -> None:
    """With generators of their own, samples are the same alone, together and in another order, to rounding."""
    denoiser, start = make_mixture(LAW), noise(4, 3)

    def seeds(*which: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(100 + i) for i in which]

    together = sample(denoiser, NOISY, start, generator=seeds(0, 1, 2, 3))
    backwards = sample(denoiser, NOISY, start.flip(0), generator=seeds(3, 2, 1, 0)).flip(0)
    alone = torch.cat([sample(denoiser, NOISY, start[i : i + 1], generator=seeds(i)) for i in range(4)])
    torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(backwards, together, rtol=1e-11, atol=1e-11)
    assert not torch.equal(together, sample(denoiser, NOISY, start, generator=seeds(0, 1, 2, 4)))


def test_deterministic_schedules_leave_the_generator_alone(make_mixture) -> None:
    """No number is drawn where the tableau has no fresh noise."""
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    assert torch.equal(
        sample(make_mixture(LAW), SCHEDULE, noise(2, 3), generator=generator),
        sample(make_mixture(LAW), SCHEDULE, noise(2, 3)),
    )
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"generator": [torch.Generator()]}, "one for the batch or 2, one for each sample; got 1"),
        ({"fresh": torch.zeros(4, 2, 3)}, r"shape \(5, 2, 3\) here, got \(4, 2, 3\)"),
        ({"fresh": torch.zeros(5, 3)}, r"got \(5, 3\)"),
    ],
)
def test_wrong_fresh_noise_is_refused(make_mixture, given: dict, message: str) -> None:
    """Too few generators or noises of another shape are named with what is wanted."""
    with pytest.raises(InvalidInput, match=message):
        sample(make_mixture(LAW), NOISY, noise(2, 3), **given)


def test_a_denoiser_of_another_shape_is_refused() -> None:
    """An output that would broadcast is an error, not a sample."""
    denoiser = models.from_callable(lambda x, t: x[:, :1], LAW, "data")
    with pytest.raises(InvalidModel, match=r"made \(2, 1\) of states \(2, 3\)"):
        sample(denoiser, SCHEDULE, noise(2, 3))


def test_one_call_jumps_to_the_prediction() -> None:
    """To σ = 0 in one DDIM step the sample is the denoiser's output."""
    law = VPLinear(t_min=0.0)
    denoiser = models.from_callable(lambda x, t: torch.full_like(x, 0.25), law, "data")
    got = sample(denoiser, Schedule(law, (1.0, 0.0), (Step(),)), noise(2, 3))
    torch.testing.assert_close(got, torch.full((2, 3), 0.25, dtype=torch.float64), rtol=0, atol=1e-15)
