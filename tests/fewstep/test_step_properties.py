"""What holds for every strategy of a step, alone and in any company, on schedules drawn from the whole space."""

import json

import numpy as np
import torch
from hypothesis import example, given, settings

from fewstep import Schedule, Step, compile, models, sample
from fewstep.processes import VPLinear
from tests.fewstep.drawn import schedules
from tests.fewstep.textbook.common import Run
from tests.fewstep.textbook.direct import run_directly

EVERY = settings(max_examples=200)  # the space has seven noise laws times fifteen choices a step


# Rare company: fresh noise at order 1 after a corrected state, and a corrector that goes by its step's named points
RARE = [
    Schedule(VPLinear(), (0.9, 0.6, 0.3), (Step(corrector=2), Step("noise", eta=1.0))),
    Schedule(VPLinear(), (0.9, 0.6, 0.3), (Step(corrector=2), Step(variable="velocity", eta=0.5))),
    Schedule(
        VPLinear(),
        (0.9, 0.7, 0.5, 0.3, 0.1),
        (Step(), Step(order=2), Step(order=3, points=((-2, -3), (-2, -3)), corrector=2), Step(order=2)),
    ),
]


def size_of(schedule: Schedule) -> float:
    """The largest number on the way: rounding grows with it. Noise steps raise what they start from by α_t/α_s."""
    tableau, alpha = compile(schedule), schedule.process.alpha(np.array(schedule.times))
    rows = np.abs(np.hstack([tableau.start[:, None], tableau.outputs, tableau.noise])).sum(1)
    noisy = [i for i, step in enumerate(schedule.steps) if step.form == "noise" and alpha[i + 1 + step.start] > 0]
    raised = [alpha[i + 1] / alpha[i + 1 + schedule.steps[i].start] for i in noisy]
    return 1.0 + float(max([*rows, *raised]))


@EVERY
@given(schedules())
@example(RARE[0])
@example(RARE[1])
@example(RARE[2])
def test_a_tableau_is_its_schedule_run_step_by_step(schedule: Schedule) -> None:
    """Sampling with the compiled rows ends where a run over states ends, each choice taken as it is defined."""
    law, tableau = schedule.process, compile(schedule)

    denoiser = models.from_callable(lambda x, t: torch.sin(x + t[:, None] / law.t_max), law, "data")
    draws = torch.Generator().manual_seed(0)
    noise, *fresh = torch.randn(1 + tableau.noise.shape[1], 3, 2, generator=draws, dtype=torch.float64)
    run = Run(denoiser, law, fresh)
    wanted = run_directly(run, schedule, law.prior_std * noise)
    got = sample(denoiser, schedule, noise, fresh=torch.stack(fresh) if fresh else None)
    assert run.drawn == len(fresh)
    error = float((got - wanted).abs().max())
    assert error <= 1e-10 * run.largest * size_of(schedule)


@EVERY
@given(schedules())
def test_every_row_is_finite_and_exact_where_the_denoiser_is_constant(schedule: Schedule) -> None:
    """With D = x_0 everywhere y = α x_0 + noise: so c_i α_0 + Σ_j W_ij = α_{i+1}, whatever is drawn besides.

    The noise's standard deviation is σ_{i+1}: c_i σ_0 where no fresh noise is added, and by squares where steps predict
    data, so that no output carries noise along.
    """
    tableau, law = compile(schedule), schedule.process
    for numbers in (tableau.start, tableau.outputs, tableau.noise):
        assert np.isfinite(numbers).all()
    assert not np.triu(tableau.outputs, 1).any()
    alpha, sigma = law.alpha(tableau.times), law.sigma(tableau.times)
    rounding = 1e-12 * size_of(schedule) * max(1.0, law.prior_std)
    np.testing.assert_allclose(tableau.start * alpha[0] + tableau.outputs.sum(1), alpha[1:], rtol=0, atol=rounding)
    if not tableau.noise.size:
        np.testing.assert_allclose(tableau.start * sigma[0], sigma[1:], rtol=0, atol=rounding)
    elif all(step.form == "data" for step in schedule.canonical().steps):
        variance = (tableau.start * sigma[0]) ** 2 + (tableau.noise**2).sum(1)
        np.testing.assert_allclose(variance, sigma[1:] ** 2, rtol=1e-10, atol=rounding)


@EVERY
@given(schedules())
def test_canonical_form_is_idempotent_and_means_the_same(schedule: Schedule) -> None:
    """Its own canonical form; the same rows to rounding, the same digest, and the same run without rows."""
    canonical = schedule.canonical()
    assert canonical.canonical() == canonical
    assert canonical.digest == schedule.digest
    ours, theirs = compile(canonical), compile(schedule)
    for name in ("start", "outputs", "noise", "network_times"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-12)


@EVERY
@given(schedules())
def test_json_is_the_same_schedule(schedule: Schedule) -> None:
    """from_json(to_json) is equal, with both digests and the very numbers; the text is strict JSON."""
    text = schedule.to_json()
    back = Schedule.from_json(text)
    assert back == schedule
    assert back.digest == schedule.digest
    assert compile(back) == compile(schedule)
    assert back.to_json() == text
    plain = json.loads(text, parse_constant=lambda name: 1 / 0)
    assert (plain["digest"], plain["tableau_digest"]) == (schedule.digest, compile(schedule).digest)
