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


def test_every_grid_is_covered() -> None:
    """A new grid without a line in this file's table fails here."""
    assert set(grids.names()) == set(EVEN_IN)


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


@pytest.mark.parametrize("name", ["time", "quadratic", "edm"])
def test_a_grid_may_end_on_clean_data(name: str, process: Process) -> None:
    """σ = 0 at the end is a legal place for every grid that is not even in λ."""
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
        (lambda: grids.logsnr(Discrete((0.9, 0.5)), 2, end=-1.0), "finite log-SNR at its end, got inf at t=-1.0"),
        (lambda: grids.logsnr(VPLinear(t_min=0.0), 2), "finite log-SNR at its end"),
        (lambda: grids.logsnr(Cosine(t_max=1.0), 2), "finite log-SNR at its start, got -inf at t=1.0"),
        (lambda: grids.edm(Cosine(t_max=1.0), 2), "finite log-SNR at its start"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(place, message: str) -> None:
    """Each rule's message says what was given and what is wanted."""
    with pytest.raises(InvalidInput, match=message):
        place()


@pytest.mark.parametrize(
    ("law", "wanted"),
    [
        (VPLinear(), ["logsnr", "time", "quadratic", "edm"]),
        (VPLinear(t_min=0.0), ["time", "quadratic", "edm"]),
        (Cosine(t_max=1.0), ["time", "quadratic"]),
        (VE(), ["logsnr", "time", "quadratic", "edm"]),
        (Flow(shift=3.0), ["time", "quadratic"]),
        (DDM(), ["time", "quadratic"]),
    ],
    ids=repr,
)
def test_suitable_grids_are_those_that_can_be_placed(law: Process, wanted: list[str]) -> None:
    """Exactly the suitable ones give times between the law's own ends; the others say why they cannot."""
    assert grids.suitable(law) == wanted
    for name in grids.names():
        if name in wanted:
            times = grids.named(name)(law, 9)
            assert (times[0], times[-1]) == (law.t_max, law.t_min)
            assert np.all(np.diff(times) < 0)
        else:
            with pytest.raises(InvalidInput, match="wants finite log-SNR"):
                grids.named(name)(law, 9)


def test_edm_is_karras_schedule() -> None:
    """On VE, where time is σ: (σ_max^{1/7} + i/N (σ_min^{1/7} − σ_max^{1/7}))^7 (Karras et al. 2022, eq. 5)."""
    wanted = (80 ** (1 / 7) + np.arange(9) / 8 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(grids.edm(VE(), 8), wanted, rtol=1e-12)


def test_an_unknown_grid_is_named_with_the_known_ones() -> None:
    """The registry's error lists what there is."""
    with pytest.raises(UnknownName, match="unknown grid 'karras'; known: logsnr, time, quadratic, edm"):
        grids.named("karras")
