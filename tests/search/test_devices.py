"""Devices without float64, and without a wait for the host inside a trajectory.

The meta device stands in for one: it has no numbers, so whatever would wait for them fails; it refuses to mix with
tensors of the CPU; and the mode here refuses float64 on it and counts what is moved to it.
"""

import pickle
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from fewstep import models, processes, sample, solvers
from fewstep.search.evaluation.microbatch import Chunked
from fewstep.search.limit import Limit
from fewstep.search.metrics.paired import squared_distances
from fewstep.search.optimize.losses import LOSSES
from fewstep.search.optimize.relaxed import Numbers, walk
from fewstep.search.projection import precise, projected

DEVICE = "meta"
TABLE = processes.Discrete.linear_betas()
LAWS = [TABLE, processes.VPLinear(), processes.Flow(), processes.VE()]


class StandIn(TorchFunctionMode):
    """Refuses float64 on the device, and counts tensors that come to it from the host."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == DEVICE:
            if made.dtype == torch.float64:
                raise TypeError("the device has no float64")
            given = [each for each in args if isinstance(each, torch.Tensor)]
            self.moved += any(each.device.type == "cpu" and each.ndim > 0 for each in given) or func is torch.tensor
        return made


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, device=DEVICE)


def network(process: processes.Process) -> models.Denoiser:
    return Chunked(models.from_callable(lambda x, t: 0.1 * x * t[0], process), range(4), Limit(2))


@pytest.mark.parametrize("process", LAWS, ids=lambda process: process.kind)
@pytest.mark.parametrize("solver", ["dpmpp-2m", "unipc-2-bh2"])
def test_a_trajectory_moves_nothing_to_the_device(process: processes.Process, solver: str) -> None:
    """After the first one, in which a table comes once: coefficients are numbers, and times are made there."""
    schedule = solvers.named(solver).schedule(process, 5, "time")
    with StandIn() as device:
        sample(network(process), schedule, ones(4, 2))
        first, device.moved = device.moved, 0
        sample(network(process), schedule, ones(4, 2))
    assert device.moved == 0
    assert first <= 1


def test_the_numbers_of_a_walk_come_to_the_device_once() -> None:
    """Times and rows of all calls together, not call by call."""
    numbers = Numbers(torch.rand(9).double(), torch.rand(8).double(), torch.rand(8, 9).double())
    with StandIn() as device:
        end, basis = walk([network(processes.Flow())] * 8, numbers, ones(4, 2))
    assert (end.shape, len(basis), device.moved) == ((4, 2), 9, 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_made_without_float64(loss: str) -> None:
    """In float32 on the device, in float64 on a CPU."""
    with StandIn():
        assert LOSSES[loss](ones(4, 3), ones(4, 3), 0.1, 0.5).device.type == DEVICE
    assert LOSSES[loss](torch.ones(4, 3), torch.zeros(4, 3), 0.1, 0.5).dtype == torch.float64 or loss == "l1"
    assert precise(torch.ones(2)).dtype == torch.float64


@pytest.mark.parametrize(
    "reduced", [lambda: projected(ones(3, 4, 8, 8)), lambda: squared_distances(ones(3, 64), ones(3, 64))]
)
def test_what_is_compared_is_reduced_before_it_leaves(reduced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in has no numbers to give, which it says when n·p of them are asked for."""
    asked = list[tuple[int, ...]]()

    def cpu(values: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(values.shape))
        return torch.zeros(values.shape)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    with StandIn():
        reduced()
    assert asked in ([(3, 64)], [(3,)])


def test_a_table_on_a_device_stays_in_its_process() -> None:
    """A process that was used on a device is sent without what lies there, and is the same one."""
    with StandIn():
        TABLE.alpha(0.5 * ones(2))
    again = pickle.loads(pickle.dumps(TABLE))
    assert again == TABLE
    assert "_tensors" not in again.__dict__
    assert torch.equal(again.alpha(torch.ones(2)), TABLE.alpha(torch.ones(2)))


def test_the_stand_in_refuses() -> None:
    """Float64, other devices, and waits; and it counts."""
    with StandIn() as device:
        with pytest.raises(TypeError, match="no float64"):
            ones(2).double()
        with pytest.raises(RuntimeError):
            ones(2) + torch.ones(2)
        with pytest.raises(RuntimeError):
            float(ones(2).sum())
        torch.ones(2).to(DEVICE)
        assert device.moved == 1
