"""Placements of times: exact ends, strict fall, evenness in the variable each one names."""

import math

import numpy as np
import pytest

from fewstep import grids
from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

EVEN_IN = {
    "logsnr": lambda law, t: law.log_snr(t),
    "time": lambda law, t: t,
    "quadratic": lambda law, t: np.sqrt(t - law.t_zero),
    "edm": lambda law, t: np.exp(-law.log_snr(t) / 7),
}
each_grid = pytest.mark.parametrize("name", EVEN_IN)


def test_every_even_grid_is_covered() -> None:
    """A new one without a line in this file's table fails here."""
    assert set(grids.EVEN) == set(EVEN_IN)


@each_grid
@pytest.mark.parametrize("nfe", [1, 2, 3, 7, 50, 1000])
def test_times_fall_strictly_between_exact_ends(name: str, nfe: int, process: Process) -> None:
    """N calls have N + 1 times, from t_max to t_min, both to the last bit."""
    times = grids.named(name)(process, nfe)
    assert len(times) == nfe + 1
    assert times[0] == process.t_max
    assert times[-1] == process.t_min
    assert np.all(np.diff(times) < 0)
    assert all(type(t) is float for t in times)


@each_grid
def test_times_are_even_in_the_named_variable(name: str, process: Process) -> None:
    """Successive differences of the grid's own variable are equal."""
    values = EVEN_IN[name](process, np.array(grids.named(name)(process, 16)))
    np.testing.assert_allclose(np.diff(values), (values[-1] - values[0]) / 16, rtol=1e-8)


@each_grid
def test_another_end_is_kept(name: str, process: Process) -> None:
    """``end`` replaces t_min exactly."""
    end = process.t_min + 0.1 * (process.t_max - process.t_min)
    assert grids.named(name)(process, 5, end=end)[-1] == end


@each_grid
def test_a_grid_may_end_on_clean_data(name: str, process: Process) -> None:
    """σ = 0 at the end is a legal place for every grid."""
    times = grids.named(name)(process, 6, end=process.t_zero)
    assert times[-1] == process.t_zero
    assert np.all(np.diff(times) < 0)


def test_edm_takes_a_process_that_ends_on_clean_data() -> None:
    """(σ/α)^{1/7} is 0 at the end, not infinite."""
    assert grids.edm(VPLinear(t_min=0.0), 4)[-1] == 0.0


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda: grids.time(VPLinear(), 0), "1 <= nfe <= 1000 calls, got 0"),
        (lambda: grids.time(VPLinear(), 1001), "got 1001"),
        (lambda: grids.time(VPLinear(), 2.0), "got 2.0"),
        (lambda: grids.time(VPLinear(), True), "got True"),
        (lambda: grids.time(VPLinear(), 2, end=1.0), r"end lies in \[0.0, 1.0\), got 1.0"),
        (lambda: grids.time(VPLinear(), 2, end=-0.1), "got -0.1"),
        (lambda: grids.logsnr(VPLinear(), 2, end=-0.1), "got -0.1"),
        (lambda: grids.edm(VPLinear(), 2, end=math.nan), "got nan"),
        (lambda: grids.edm(Cosine(t_max=1.0), 2), "finite log-SNR at its start"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(place, message: str) -> None:
    """Each rule's message says what was given and what is wanted."""
    with pytest.raises(InvalidInput, match=message):
        place()


FLOWS = ["time", "quadratic", "logsnr", "beta", "linear-quadratic", "shift-3.158", "stretched"]
STABLE = Discrete(tuple(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)))


@pytest.mark.parametrize(
    ("law", "wanted"),
    [
        (VPLinear(), ["logsnr", "time", "quadratic", "edm"]),
        (VPLinear(t_min=0.0), ["time", "quadratic", "edm"]),
        (Cosine(t_max=1.0), ["time", "quadratic"]),
        (VE(), ["logsnr", "time", "quadratic", "edm"]),
        (VE(t_max=700.0), ["logsnr", "time", "quadratic", "edm", "ays-svd"]),
        (Discrete.linear_betas(), ["logsnr", "time", "quadratic", "edm"]),
        (STABLE, ["logsnr", "time", "quadratic", "edm", "beta", "ays-sd15", "ays-sdxl"]),
        (Flow(shift=3.0), FLOWS),
        (Flow(t_min=0.2), FLOWS[:-1]),
        (DDM(), ["time", "quadratic"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else value.kind,
)
def test_suitable_grids_are_those_that_can_be_placed(law: Process, wanted: list[str]) -> None:
    """Each gives times between the law's own ends, for one call and for as many as a search may have."""
    assert grids.suitable(law) == wanted
    for name in wanted:
        for nfe in (1, 2, 9, 50):
            times = grids.named(name)(law, nfe)
            assert len(times) == nfe + 1
            assert (times[0], times[-1]) == (law.t_max, law.t_min)
            assert np.all(np.diff(times) < 0)


def test_edm_is_karras_schedule() -> None:
    """On VE, where time is σ: (σ_max^{1/7} + i/N (σ_min^{1/7} − σ_max^{1/7}))^7 (Karras et al. 2022, eq. 5)."""
    wanted = (80 ** (1 / 7) + np.arange(9) / 8 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(grids.edm(VE(), 8), wanted, rtol=1e-12)


def test_an_unknown_grid_is_named_with_the_known_ones() -> None:
    """The registry's error lists what there is."""
    with pytest.raises(
        UnknownName, match=r"unknown grid 'karras'; known: logsnr, time, quadratic, edm, beta, .*shift-S"
    ):
        grids.named("karras")


@pytest.mark.parametrize(
    "law", [Flow(shift=3.0), Cosine(t_max=1.0), VPLinear(t_min=0.0), DDM()], ids=lambda law: law.kind
)
def test_logsnr_has_finite_ends_where_the_law_has_not(law: Process) -> None:
    """Between λ = ±6 the times are even; the ends themselves stay exact."""
    times = np.array(grids.logsnr(law, 12))
    assert (times[0], times[-1]) == (law.t_max, law.t_min)
    lam = law.log_snr(times[1:-1])
    np.testing.assert_allclose(np.diff(lam), np.diff(lam)[0], rtol=1e-6)
    whole = law.log_snr(np.array([law.t_max, law.t_min]))
    first, last = (whole[0] if np.isfinite(whole[0]) else -6.0), (whole[1] if np.isfinite(whole[1]) else 6.0)
    np.testing.assert_allclose(lam[0] - first, (last - first) / 12, rtol=1e-6)
