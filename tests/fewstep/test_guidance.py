"""Guidance call by call: what a schedule may say, how it is stored, and that every call runs at its scale."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Tableau, compile, models, sample, solvers, states
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.export import portable, sampler, sigmas
from fewstep.export.sigmas import strides
from fewstep.models.network import NetworkDenoiser, Plain
from fewstep.processes import Flow, VPLinear
from fewstep.sampling.guidance import denoisers, passes_per_sample
from fewstep.sampling.plan import tail
from fewstep.timeshift import TimeShift

LAW = VPLinear()
SCALES = (1.0, 3.0, 0.5, 1.0)
PLAIN = solvers.named("dpmpp-2m").schedule(LAW, 4)
GUIDED = replace(PLAIN, guidance=SCALES)

# What version 1 wrote before there was a version 2, with its digests.
VERSION_1 = """{"format": "fewstep.schedule", "version": 1,
 "process": {"kind": "flow", "shift": 3.0, "t_min": 0.0, "t_max": 1.0}, "times": [1.0, 0.5, 0.0],
 "steps": [{"prediction": "data", "order": 1, "scale": "none", "slope": 0.0, "second": 1.0},
           {"prediction": "data", "order": 1, "scale": "none", "slope": 0.0, "second": 1.0}],
 "tableau": {"times": [1.0, 0.5, 0.0], "network_times": [1.0, 0.5], "start": [0.75, 0.0],
             "outputs": [[0.25, 0.0], [0.0, 1.0]], "noise": [[], []]},
 "digest": "6a3ad366ccee299a7b0a6dcb48a5fac6c10b3bb08a1a487a96acd40c779f854b",
 "tableau_digest": "d23b198646996c9967b05ddbfce1e7e0aa18bf54c24bd71564538ba8b75f36a2"}"""


class Guided(models.Unconditional):
    """D = scale·x/2: a model whose output says at which scale it was called; two passes but at scale 1."""

    process = LAW

    def __init__(self, scale: float = 2.0) -> None:
        self.scale, self.passes = scale, 1 if scale == 1.0 else 2

    def guided(self, scale: float) -> "Guided":
        return Guided(scale)

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.scale * x


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def by_hand(schedule: Schedule, start: torch.Tensor, scales: tuple[float, ...]) -> torch.Tensor:
    """The tableau's rows over outputs at these scales."""
    tableau, state, data = compile(schedule), start, []
    for i, scale in enumerate(scales):
        data.append(0.5 * scale * state)
        row = sum(float(w) * d for w, d in zip(tableau.outputs[i], data, strict=False))
        state = float(tableau.start[i]) * start + row
    return state


def test_every_call_is_made_at_its_scale() -> None:
    """A schedule and its bare tableau alike; without scales every call is at the model's own."""
    start = noise(3, 2)
    want = by_hand(PLAIN, start, SCALES)
    for what in (GUIDED, compile(GUIDED)):
        torch.testing.assert_close(sample(Guided(), what, start), want, rtol=1e-12, atol=1e-12)
    own = by_hand(PLAIN, start, (2.0,) * 4)
    torch.testing.assert_close(sample(Guided(), PLAIN, start), own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["network", "start"])
def test_a_time_shift_keeps_the_scales(mode: str) -> None:
    """Scales that are all the same give the samples of a model at that scale, shifted in either mode."""
    shift = TimeShift(0.1, 0.0, "calibrated", mode, 0.25)
    schedule, start = replace(PLAIN, shift=shift), noise(3, 8)
    want = sample(Guided(3.0), schedule, start)
    torch.testing.assert_close(sample(Guided(), replace(schedule, guidance=(3.0,) * 4), start), want)
    assert not torch.allclose(sample(Guided(), replace(schedule, guidance=SCALES), start), want)


def test_a_model_without_guidance_is_refused_before_the_first_call(make_mixture) -> None:
    """The message names the scales."""
    with pytest.raises(InvalidInput, match=r"sets the guidance of each call, to \[1.0, 3.0, 0.5, 1.0\]: .*has none"):
        next(states(make_mixture(LAW), GUIDED, noise(2, 3)))


def test_passes_are_those_of_each_call() -> None:
    """Two a call, but one where the scale needs no second."""
    assert passes_per_sample(Guided(), PLAIN) == 8
    assert passes_per_sample(Guided(), GUIDED) == passes_per_sample(Guided(), compile(GUIDED)) == 6
    each = denoisers(Guided(), GUIDED)
    assert each[0] is each[3]


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((1.0, 2.0), "4 calls want 4 guidance scales, got 2"),
        ((1.0, float("nan"), 1.0, 1.0), r"guidance\[1\] is a finite number"),
        ((1.0, "2", 1.0, 1.0), r"guidance\[1\] is a finite number, got '2'"),
        (3.0, "guidance is a sequence of scales"),
    ],
)
def test_wrong_scales_are_refused(scales: object, message: str) -> None:
    """Each with its own message."""
    with pytest.raises(InvalidSchedule, match=message):
        replace(PLAIN, guidance=scales)


def test_a_tableau_wants_one_finite_scale_for_each_call() -> None:
    """Shape and values are checked; scales are part of equality and digest."""
    tableau = compile(GUIDED)
    with pytest.raises(InvalidSchedule, match=r"tableau guidance has shape \(3,\), wanted \(4,\)"):
        replace(tableau, guidance=np.ones(3))
    with pytest.raises(InvalidSchedule, match="tableau guidance holds NaN"):
        replace(tableau, guidance=np.full(4, np.inf))
    plain = compile(PLAIN)
    assert tableau != plain
    assert not tableau.close_to(plain)
    assert tableau.digest != plain.digest
    assert Tableau.from_dict(json.loads(json.dumps(tableau.to_dict()))) == tableau
    assert len({tableau, compile(GUIDED), plain}) == 2


def test_fitted_rows_belong_to_the_scales() -> None:
    """Rows that were fitted at other scales, or at none, are refused."""
    for rows in (compile(PLAIN), compile(replace(PLAIN, guidance=(2.0,) * 4))):
        with pytest.raises(InvalidSchedule, match="fitted rows were made for guidance"):
            replace(GUIDED, fitted=rows)
    assert replace(GUIDED, fitted=compile(GUIDED)).fitted == compile(GUIDED)


@pytest.mark.parametrize("fitted", [False, True])
def test_guidance_is_stored_in_version_2(fitted: bool) -> None:
    """It comes back with its digest, which differs from that of the schedule without; all else stays version 1."""
    schedule = replace(GUIDED, fitted=replace(compile(GUIDED), start=compile(GUIDED).start * 1.1)) if fitted else GUIDED
    stored = json.loads(schedule.to_json())
    assert (stored["version"], stored["guidance"], stored["tableau"]["guidance"]) == (2, [*SCALES], [*SCALES])
    back = Schedule.from_json(schedule.to_json())
    assert (back, back.digest, compile(back)) == (schedule, schedule.digest, compile(schedule))
    assert PLAIN.digest != GUIDED.digest
    plain = json.loads(PLAIN.to_json())
    assert plain["version"] == 1
    assert "guidance" not in {*plain, *plain["tableau"]}


def test_version_1_is_read_and_written_as_ever() -> None:
    """A file from before version 2: the same text comes back, digests and all; as version 2 it says the same."""
    schedule, stored = Schedule.from_json(VERSION_1), json.loads(VERSION_1)
    assert json.loads(schedule.to_json()) == stored
    assert Schedule.from_dict(stored | {"version": 2}) == schedule


def test_the_tail_of_a_tableau_keeps_its_scales() -> None:
    """A run that begins late has the scales of its own calls."""
    assert tail(compile(GUIDED), LAW, 2).guidance.tolist() == [0.5, 1.0]


def network(passes: list[int], embedded: bool = False) -> NetworkDenoiser:
    """A network that predicts its condition and notes how many samples each pass has."""

    def call(x: torch.Tensor, times: torch.Tensor, tensors: dict) -> torch.Tensor:
        passes.append(len(x))
        value = tensors["guidance" if embedded else "label"]
        return value.reshape(-1, 1).to(x).expand_as(x)

    positive = {"label": torch.tensor([3.0]), **({"guidance": torch.tensor([2.0])} if embedded else {})}
    negative = None if embedded else {"label": torch.tensor([1.0])}
    return NetworkDenoiser(call, Plain(LAW, "data"), torch.float64, positive, negative, 0, 2.0)


def test_a_network_skips_the_second_pass_at_scale_1() -> None:
    """At scale w it predicts u + w·(c − u) of 2B samples; at 1 it is c, of B samples, and says so."""
    sizes: list[int] = []
    model, x, t = network(sizes), noise(2, 3), torch.full((2,), 0.5, dtype=torch.float64)
    assert model(x, t)[0, 0] == 1 + 2 * (3 - 1)
    assert model.guided(1.0)(x, t)[0, 0] == 3
    assert model.guided(0.0)(x, t)[0, 0] == 1
    assert sizes == [4, 2, 4]
    assert [model.guided(w).passes for w in (2.0, 1.0, 0.0, -1.0)] == [2, 1, 2, 2]
    assert model.guided(1.0).guided(2.0)(x, t)[0, 0] == 5


def test_embedded_guidance_is_an_input_and_one_pass() -> None:
    """A distilled network takes the scale itself, at any scale in one pass."""
    sizes: list[int] = []
    model, x, t = network(sizes, embedded=True), noise(2, 3), torch.full((2,), 0.5, dtype=torch.float64)
    assert (model(x, t)[0, 0], model.guided(4.0)(x, t)[0, 0], model(x, t)[0, 0]) == (2, 4, 2)
    assert (model.guided(4.0).passes, sizes) == (1, [2, 2, 2])


@pytest.mark.parametrize("late", [0, 1])
def test_the_exported_sampler_sets_each_scale(late: int) -> None:
    """By its function, or as k-diffusion's ``cond_scale``; a run that begins late has the scales of its own calls."""
    levels = torch.tensor(LAW.sampler_sigma(strides(GUIDED)))[late:]
    seen: list[float] = []

    def model(x: torch.Tensor, sigma: torch.Tensor, cond_scale: float = 0.0) -> torch.Tensor:
        seen.append(cond_scale)
        return 0.0 * x

    sampler(GUIDED)(model, noise(1, 2), levels, {"cond_scale": 7.0})
    assert tuple(seen) == SCALES[late:]
    seen.clear()
    sampler(GUIDED, seen.append)(lambda x, sigma: 0.0 * x, noise(1, 2), levels)
    assert tuple(seen) == SCALES[late:]
    with pytest.raises(InvalidInput, match="sets the guidance of each call, but extra_args has no 'cond_scale'"):
        sampler(GUIDED)(model, noise(1, 2), levels)


def test_plain_numbers_carry_the_scales() -> None:
    """In version 2 of the portable form; without scales it stays version 1."""
    assert (portable(GUIDED)["version"], portable(GUIDED)["guidance"]) == (2, [*SCALES])
    assert portable(PLAIN)["version"] == 1
    assert "guidance" not in portable(PLAIN)


def test_sigmas_cannot_say_it() -> None:
    """A list of sigmas leaves guidance to the pipeline: refused with the reason."""
    euler = solvers.named("euler").schedule(Flow(shift=3.0), nfe=3)
    with pytest.raises(InvalidSchedule, match="it sets the guidance of each call"):
        sigmas(replace(euler, guidance=(1.0, 2.0, 1.0)), "euler")
