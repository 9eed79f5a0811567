"""The registry of named solvers: names, order rules, and that each is a small encoding in the schedule space."""

from itertools import product

import numpy as np
import pytest

from fewstep import Schedule, compile, grids, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import DDM, VE, Cosine, Flow, VPLinear
from tests.laws import WIDER


def orders(name: str, nfe: int, lower: bool | None = None) -> list[int]:
    return [step.order for step in solvers.named(name).schedule(VPLinear(), nfe, lower_order_final=lower).steps]


def test_names_are_stable() -> None:
    """These names are public from the first release."""
    counted = {"unipc-{}-bh1": 3, "unipc-{}-bh2": 3, "deis-{}": 3, "rho-deis-{}": 3, "ipndm-{}": 4, "lms-{}": 4}
    promised = {name.format(k + 1) for name, count in (counted | {"sa-solver-{}": 3}).items() for k in range(count)}
    promised |= {f"{kind}-{order}" for kind in ("dpm", "dpmpp") for order in ("2m", "3m", "2s", "3s")}
    promised |= {"ddim", "ddpm", "euler", "heun", "sde-dpmpp-1", "sde-dpmpp-2m", "s-pndm", "f-pndm"}
    promised |= {"ddm", "ddm-sde", "flow-euler", "flow-heun"}
    assert promised <= set(solvers.names())
    assert all(solvers.named(name).name == name for name in solvers.names())


ENDLESS = (VPLinear(t_min=0.0), Cosine(t_min=0.0, t_max=1.0), VE(t_min=0.0), Flow(), Flow(shift=3.0), DDM())
CALLS = dict.fromkeys(WIDER.values(), (1, 2, 3, 8, 16)) | dict.fromkeys(ENDLESS, (1, 2, 3, 4, 5, 7, 16))


@pytest.mark.parametrize("name", solvers.names())
def test_every_solver_works_on_every_process_and_grid(name: str, subtests: pytest.Subtests) -> None:
    """N calls are N steps from t_max to t_min, α = 0 and σ = 0 included, with finite coefficients and no more outputs
    than declared; multistep keeps the grid's times; a process that it is not made for is refused."""
    solver = solvers.named(name)
    for law, counts in CALLS.items():
        with subtests.test(law=repr(law)):
            if not solver.applies(law):
                with pytest.raises(InvalidInput, match=f"{name} is made for the process"):
                    solver.schedule(law, 5)
                continue
            assert solver.schedule(law, 5).times[0] == law.t_max  # on the default grid
            for grid, nfe in product(grids.suitable(law), counts):
                schedule = solver.schedule(law, nfe, grid)
                tableau = compile(schedule)
                assert schedule.nfe == tableau.calls == nfe, grid
                assert np.isfinite(tableau.outputs).all(), (grid, nfe)
                assert max(step.order for step in schedule.steps) <= solver.outputs, (grid, nfe)
                assert (schedule.times[0], schedule.times[-1]) == (law.t_max, law.t_min), (grid, nfe)
                if not solver.blocks:
                    assert schedule.times == grids.named(grid)(law, nfe), (grid, nfe)


def test_the_default_grid_is_even_in_log_snr_where_that_is_finite() -> None:
    """Else it is even in time."""
    solver = solvers.named("dpmpp-2m")
    assert solver.schedule(VPLinear(), 6) == solver.schedule(VPLinear(), 6, "logsnr")
    assert solver.schedule(Flow(), 6) == solver.schedule(Flow(), 6, "time")


def test_a_grid_may_be_a_function() -> None:
    """Whoever has times of their own need not register a grid."""
    schedule = solvers.named("heun").schedule(VE(), 5, lambda law, nfe: grids.edm(law, nfe, rho=3.0))
    assert schedule.times[::2] == grids.edm(VE(), 3, rho=3.0)[:3]


def test_calls_of_singlestep_solvers_are_all_counted() -> None:
    """Two and three calls to a stride, and what is left over goes into shorter strides of lower order."""
    law = VPLinear()

    def starts(name: str, nfe: int) -> list[int]:
        return [step.start for step in solvers.named(name).schedule(law, nfe).steps]

    assert starts("dpmpp-2s", 5) == [-1, -2, -1, -2, -1]
    assert starts("dpm-3s", 6) == [-1, -2, -3, -1, -2, -1]
    assert starts("dpm-3s", 7) == [-1, -2, -3, -1, -2, -3, -1]
    assert starts("dpm-3s", 8) == [-1, -2, -3, -1, -2, -3, -1, -2]
    assert starts("heun", 5) == [-1, -2, -1, -2, -1]
    assert starts("s-pndm", 5) == [-1, -2, -1, -1, -1]
    assert starts("f-pndm", 14) == [-1, -2, -3, -4] * 3 + [-1, -1]
    assert starts("f-pndm", 10) == [-1, -2, -3, -4] * 2 + [-1, -1]


def test_heun_evaluates_both_ends_of_a_stride() -> None:
    """The second call of a stride lies at its end, and the next stride's first call at the corrected state there."""
    times = solvers.named("heun").schedule(VE(), 7, "edm").times
    outer = grids.edm(VE(), 4)
    assert times == (outer[0], outer[1], outer[1], outer[2], outer[2], outer[3], outer[3], outer[4])


def test_singlestep_strides_are_cut_in_log_snr() -> None:
    """A stride of DPM-Solver-3 spans three gaps of the grid and is divided evenly in λ."""
    law = VPLinear()
    times = np.array(solvers.named("dpm-3s").schedule(law, 8, "time").times)
    fine = grids.time(law, 8)
    assert tuple(times[[0, 3, 6, 8]]) == (fine[0], fine[3], fine[6], fine[8])
    gaps = np.diff(law.log_snr(times))
    np.testing.assert_allclose(gaps[:3], gaps[:3].mean(), rtol=1e-9)
    np.testing.assert_allclose(gaps[6:], gaps[6:].mean(), rtol=1e-9)


def test_f_pndm_reaches_back_to_the_starts_of_its_strides() -> None:
    """After three Runge–Kutta strides the Adams step uses the first output of each, not the inner ones."""
    steps = solvers.named("f-pndm").schedule(VPLinear(), 15, "time").steps
    assert steps[12].points == ((-1, -5, -9, -13),)
    assert steps[13].points == ((-1, -2, -6, -10),)


def test_no_corrector_after_the_last_call_or_at_infinite_log_snr() -> None:
    """UniPC corrects every state but the last, and not the first after pure noise."""
    found = [step.corrector for step in solvers.named("unipc-2-bh2").schedule(VPLinear(), 5).steps]
    assert found == [2, 3, 3, 3, 0]
    found = [step.corrector for step in solvers.named("unipc-2-bh2").schedule(Flow(), 6).steps]
    assert found == [0, 2, 3, 3, 3, 0]


def test_stochastic_solvers_are_told_from_the_others() -> None:
    """Exactly those whose tableau has fresh noise."""
    for name in solvers.names():
        solver = solvers.named(name)
        law = {"ddm": DDM(), "flow": Flow()}.get(solver.only, VPLinear())
        assert solver.stochastic == (compile(solver.schedule(law, 4)).noise.shape[1] > 0)


@pytest.mark.parametrize("name", solvers.names())
def test_every_step_is_in_simplest_form(name: str) -> None:
    """What a solver makes needs no further reduction but at clean data, and it survives JSON."""
    solver = solvers.named(name)
    law = {"ddm": DDM(t_min=1e-3), "flow": Flow(t_min=1e-3)}.get(solver.only, VPLinear())
    schedule = solver.schedule(law, 14, "time")
    assert compile(schedule.canonical()) == compile(schedule)
    assert Schedule.from_json(schedule.to_json()) == schedule


def test_orders_climb_and_descend() -> None:
    """The order is the number of outputs at hand, at most the solver's own, at most the calls left at the end."""
    assert orders("dpmpp-3m", 6) == [1, 2, 3, 3, 2, 1]
    assert orders("dpmpp-3m", 6, lower=False) == [1, 2, 3, 3, 3, 3]
    assert orders("dpmpp-2m", 3) == [1, 2, 1]
    assert orders("dpm-3m", 1) == [1]
    assert orders("ddim", 4) == [1, 1, 1, 1]


def test_the_last_orders_are_lowered_below_fifteen_calls() -> None:
    """As diffusers does, unless told otherwise."""
    assert orders("dpmpp-2m", 14)[-1] == 1
    assert orders("dpmpp-2m", 15)[-1] == 2
    assert orders("dpmpp-2m", 15, lower=True)[-1] == 1


def test_pure_noise_gives_no_history() -> None:
    """From α = 0 the first step is of order 1, and its output is not used by later orders."""
    law = Cosine(t_max=1.0)
    found = [step.order for step in solvers.named("dpmpp-3m").schedule(law, 6, "time", lower_order_final=False).steps]
    assert found == [1, 1, 2, 3, 3, 3]


def test_clean_data_is_reached_by_a_first_order_step() -> None:
    """To σ = 0 the last step is of order 1 even where the last orders stay."""
    law = VPLinear(t_min=0.0)
    assert solvers.named("dpm-3m").schedule(law, 20, "time").steps[-1].order == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: solvers.named("eulr"), UnknownName, "unknown solver 'eulr'; known: ddim, dpm-2m"),
        (lambda: solvers.named("ddm").schedule(VPLinear(), 4), InvalidInput, "made for the process 'ddm', got 'vp-lin"),
        (lambda: solvers.named(None), UnknownName, "unknown solver None"),
        (lambda: solvers.named("ddim").schedule(VPLinear(), 4, "karras"), UnknownName, "unknown grid 'karras'"),
        (lambda: solvers.named("ddim").schedule(VPLinear(), 0), InvalidInput, "1 <= nfe <= 1000 calls, got 0"),
        (lambda: solvers.named("ddim").schedule(VPLinear(), "8"), InvalidInput, "got '8'"),
    ],
)
def test_bad_requests_are_refused(call, error: type[InvalidInput], message: str) -> None:
    """Unknown names list the known ones; a bad number of calls is named."""
    with pytest.raises(error, match=message):
        call()
