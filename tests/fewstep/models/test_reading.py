"""Readings of networks: their times are inverted."""

import pytest
import torch

from fewstep.models.reading import reading
from fewstep.models.scheduler_config import PRECONDITIONINGS, NetworkSpec
from fewstep.processes import DDM, VE, Discrete, Flow

SPECS = [
    NetworkSpec(Discrete.linear_betas(), "noise", 1000.0),
    NetworkSpec(Flow(shift=3.0), "flow", 1000.0),
    NetworkSpec(Flow(shift=3.0), "flow", 1000.0, preconditioning="inverted"),
    NetworkSpec(Flow(shift=3.0), "flow", 1000.0, preconditioning="unshifted"),
    NetworkSpec(VE(0.02, 80.0), "data", sigma_data=0.5, preconditioning="edm"),
    NetworkSpec(VE(0.3, 500.0), "velocity", sigma_data=1.0, preconditioning="edm-atan"),
    NetworkSpec(VE(0.02, 80.0), "noise", preconditioning="pipeline"),
    NetworkSpec(DDM(), "heads"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.preconditioning}-{spec.process.kind}")
def test_the_time_of_a_network_time_is_its_own(spec: NetworkSpec) -> None:
    """time(inputs(x, t)) = t over the whole range, in float64."""
    read, process = reading(spec), spec.process
    t = torch.linspace(process.t_min, process.t_max, 33, dtype=torch.float64).clamp_min(1e-4)
    network_times = read.inputs(torch.zeros(33, 1, dtype=torch.float64), t)[1]
    torch.testing.assert_close(read.time(network_times), t, rtol=1e-9, atol=1e-9)


def test_every_preconditioning_is_tried() -> None:
    """The list above lacks none."""
    assert {spec.preconditioning for spec in SPECS} == set(PRECONDITIONINGS)
