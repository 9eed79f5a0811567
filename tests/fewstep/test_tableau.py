"""Tableaus: shapes, exactness of storage, comparison, and what a wrong one says."""

import json
import math

import numpy as np
import pytest

from fewstep import Schedule, Step, Tableau, compile, grids, solvers
from fewstep.errors import InvalidSchedule
from fewstep.processes import VPLinear

GOOD = {
    "times": [1.0, 0.5, 0.1],
    "network_times": [1.0, 0.5],
    "start": [0.5, 0.25],
    "outputs": [[0.5, 0.0], [0.25, 0.5]],
    "noise": [[], []],
}


def test_a_first_order_step_is_ddim() -> None:
    """One step: c = σ_1/σ_0 and W = α_1 − α_0 σ_1/σ_0."""
    law = VPLinear()
    tableau = compile(Schedule(law, (1.0, 0.25), (Step(),)))
    ratio = law.sigma(0.25) / law.sigma(1.0)
    np.testing.assert_allclose(tableau.start, [ratio], rtol=1e-15)
    np.testing.assert_allclose(tableau.outputs, [[law.alpha(0.25) - law.alpha(1.0) * ratio]], rtol=1e-14)


def test_arrays_are_float64_and_read_only() -> None:
    """A tableau is a value: its arrays copy what was given and cannot be written."""
    given = np.array([1, 0], dtype=np.int32)
    tableau = Tableau(given, [1], [0], [[1]], [[]])
    given[0] = 7
    assert tableau.times.tolist() == [1.0, 0.0]
    assert all(getattr(tableau, name).dtype == np.float64 for name in GOOD)
    with pytest.raises(ValueError, match="read-only"):
        tableau.outputs[0, 0] = 2.0


def test_a_tableau_survives_json_to_the_last_bit() -> None:
    """Float64 written as JSON comes back as it was."""
    tableau = compile(solvers.named("dpm-3m").schedule(VPLinear(), 9, "edm"))
    back = Tableau.from_dict(json.loads(json.dumps(tableau.to_dict())))
    assert back == tableau
    assert hash(back) == hash(tableau)
    assert back.digest == tableau.digest


def test_equality_and_closeness() -> None:
    """Equal means to the last bit; close means to the tolerance and of the same shape."""
    tableau = Tableau.from_dict(GOOD)
    near = Tableau.from_dict({**GOOD, "start": [0.5 * (1 + 1e-12), 0.25]})
    far = Tableau.from_dict({**GOOD, "start": [0.6, 0.25]})
    noisy = Tableau.from_dict({**GOOD, "noise": [[0.0], [0.0]]})
    longer = compile(solvers.named("ddim").schedule(VPLinear(), 3))
    assert tableau == Tableau.from_dict(GOOD)
    assert tableau != near
    assert tableau != "tableau"
    assert tableau.digest != near.digest
    assert tableau.close_to(near)
    assert not any(tableau.close_to(other) for other in (far, noisy, longer))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [1.0]}, r"tableau times has shape \(1,\)"),
        ({"times": [[1.0, 0.5]]}, r"tableau times has shape \(1, 2\)"),
        ({"network_times": [1.0]}, r"network_times has shape \(1,\), wanted \(2,\) for 2 calls"),
        ({"start": [0.5]}, "start has shape .* rows are missing or left over"),
        ({"outputs": [[0.5, 0.0]]}, r"outputs has shape \(1, 2\), wanted \(2, 2\)"),
        ({"outputs": [[0.5], [0.25, 0.5]]}, "outputs is not a regular table"),
        ({"noise": []}, r"noise has shape \(0,\), wanted \(2, K\)"),
        ({"noise": [[0.1]]}, r"noise has shape \(1, 1\), wanted \(2, K\)"),
        ({"start": [0.5, math.nan]}, "start holds NaN or infinity"),
        ({"network_times": [math.inf, 0.5]}, "network_times holds NaN or infinity"),
        ({"outputs": [[0.5, 1e-9], [0.25, 0.5]]}, "before it exists"),
        ({"start": ["0.5", "0.25"]}, "start holds something else than numbers"),
        ({"start": [None, 0.25]}, "start holds something else than numbers"),
        ({"start": [True, False]}, "start holds something else than numbers"),
        ({"start": [10**400, 0.25]}, "start holds something else than numbers"),
        ({"start": {"0": 0.5}}, "start holds something else than numbers"),
    ],
)
def test_a_wrong_tableau_is_refused(change: dict, message: str) -> None:
    """Each rule names the field, the shape given and the shape wanted."""
    with pytest.raises(InvalidSchedule, match=message):
        Tableau.from_dict({**GOOD, **change})


@pytest.mark.parametrize("data", [None, [], "tableau", {}, {**GOOD, "extra": 1}, {1: 2}])
def test_a_tableau_of_other_fields_is_refused(data: object) -> None:
    """Missing and unknown fields are refused with the list of the right ones."""
    with pytest.raises(
        InvalidSchedule, match="a tableau is an object with times, network_times, start, outputs, noise"
    ):
        Tableau.from_dict(data)


def test_compile_is_repeatable() -> None:
    """Equal schedules compile to equal numbers, whether remembered or made again."""
    schedule = solvers.named("dpmpp-3m").schedule(VPLinear(), 12, "quadratic")
    first = compile(schedule)
    compile.cache_clear()
    assert compile(schedule) == first


@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_scales_are_their_formulas(prediction: str) -> None:
    """bh1, bh2 and linear multiply the first derivative by ½z²/(e^z−1−z), ½z(e^z−1)/(e^z−1−z) and 1 + c·h."""
    law = VPLinear()
    times = grids.logsnr(law, 2)
    lam = law.log_snr(np.array(times))
    h = lam[2] - lam[1]
    z = -h if prediction == "data" else h
    rest = math.exp(z) - 1 - z
    factors = {"bh1": 0.5 * z * z / rest, "bh2": 0.5 * z * (math.exp(z) - 1) / rest, "linear": 1 + 0.3 * h}

    def older(scale: str) -> float:
        """Weight of the older output in the second row, less what a first-order step would give it."""
        rows = [
            compile(Schedule(law, times, (Step(), Step(*kind, slope=0.3))))
            for kind in ((prediction, 2, scale), (prediction, 1))
        ]
        return float(rows[0].outputs[1, 0] - rows[1].outputs[1, 0])

    for scale, factor in factors.items():
        assert older(scale) == pytest.approx(factor * older("none"), rel=1e-10)


def test_the_second_factor_halves_the_second_derivative() -> None:
    """Rows are linear in ``second``: halfway between 0 and 1 lies the published third order."""
    law = VPLinear()
    times = grids.logsnr(law, 3)

    def rows(second: float) -> np.ndarray:
        return compile(Schedule(law, times, (Step(), Step("data", 2), Step("data", 3, second=second)))).outputs

    np.testing.assert_allclose(rows(0.5), (rows(0.0) + rows(1.0)) / 2, rtol=1e-12, atol=1e-14)
    assert not np.allclose(rows(0.0), rows(1.0))
