"""The registry of named solvers: names, order rules, and that each is a small encoding in the schedule space."""

import pytest

from fewstep import compile, grids, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import Cosine, Process, VPLinear


def orders(name: str, nfe: int, lower: bool | None = None) -> list[int]:
    return [step.order for step in solvers.named(name).schedule(VPLinear(), nfe, lower_order_final=lower).steps]


def test_names_are_stable() -> None:
    """These names are public from the first release."""
    assert {"ddim", "dpm-2m", "dpm-3m", "dpmpp-2m", "dpmpp-3m"} <= set(solvers.names())
    assert all(solvers.named(name).name == name for name in solvers.names())


@pytest.mark.parametrize("name", solvers.names())
@pytest.mark.parametrize("grid", grids.names())
def test_every_solver_works_on_every_grid(process: Process, name: str, grid: str) -> None:
    """N calls are N steps on the grid's own times, none of higher order than declared."""
    solver = solvers.named(name)
    for nfe in (1, 2, 3, 8, 30):
        schedule = solver.schedule(process, nfe, grid)
        assert schedule.nfe == compile(schedule).calls == nfe
        assert schedule.times == grids.named(grid)(process, nfe)
        assert max(step.order for step in schedule.steps) <= solver.order


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
        (lambda: solvers.named("euler"), UnknownName, "unknown solver 'euler'; known: ddim, dpm-2m"),
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
