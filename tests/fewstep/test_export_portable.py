"""Plain numbers: what is in them is enough to sample, with NumPy alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Tableau, compile, models, sample, solvers
from fewstep.export import portable
from fewstep.processes import DDM, VE, Discrete, Flow, Process, VPLinear, from_dict


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize(
    "law", [VPLinear(), Discrete.linear_betas(), VE(), Flow(shift=3.0), DDM()], ids=lambda law: law.kind
)
@pytest.mark.parametrize("name", ["ddim", "unipc-3-bh2", "ddpm"])
def test_numpy_alone_makes_the_samples_of_sample(make_mixture, name: str, law: Process) -> None:
    """After a trip through JSON: states, times and the reading of the network all come from the dictionary."""
    denoiser, schedule = make_mixture(law), solvers.named(name).schedule(law, 5)
    fresh = noise(compile(schedule).noise.shape[1], 2, 3)
    table = json.loads(json.dumps(portable(schedule)))

    def network(y: np.ndarray, t: float) -> np.ndarray:
        """A velocity ε − x_0, which says something at either end."""
        told = torch.full((len(y),), t, dtype=torch.float64)
        data = denoiser(torch.tensor(y), told).numpy()
        return (y - float(law.alpha(t)) * data) / float(law.sigma(t)) - data

    y = start = table["start_scale"] * noise(2, 3).numpy()
    data: list[np.ndarray] = []
    for i in range(table["calls"]):
        alpha, sigma = table["alpha"][i], table["sigma"][i]
        data.append((y - sigma * network(y, table["network_times"][i])) / (alpha + sigma))
        y = table["start"][i] * start + sum(w * d for w, d in zip(table["outputs"][i], data, strict=False))
        y = y + sum(w * z for w, z in zip(table["noise"][i], fresh.numpy(), strict=True))
    want = sample(denoiser, schedule, noise(2, 3), fresh=fresh)
    np.testing.assert_allclose(y, want.numpy(), rtol=1e-9, atol=1e-9)


def test_it_says_where_it_comes_from() -> None:
    """Format, version, process and the schedule's digest; the numbers are the tableau's, exactly."""
    schedule = solvers.named("dpmpp-2m").schedule(VPLinear(), 4)
    table = json.loads(json.dumps(portable(schedule)))
    assert (table["format"], table["version"], table["schedule"]) == ("fewstep.tableau", 1, schedule.digest)
    assert from_dict(table["process"]) == schedule.process
    fields = ("times", "network_times", "start", "outputs", "noise")
    assert Tableau.from_dict({name: table[name] for name in fields}) == compile(schedule)


def test_fitted_rows_go_out_as_they_are() -> None:
    """A schedule whose numbers are its own exports those."""
    schedule = solvers.named("dpmpp-2m").schedule(VPLinear(), 4)
    rows = compile(solvers.named("ddim").schedule(VPLinear(), 4))
    assert portable(replace(schedule, fitted=rows))["outputs"] == rows.outputs.tolist()


def test_a_one_head_model_needs_no_reading() -> None:
    """Where the network predicts data, D is its output; alpha and sigma are not used."""
    law = Flow()
    schedule = solvers.named("flow-euler").schedule(law, 3)
    table = portable(schedule)
    y = start = noise(2, 3).numpy()
    data: list[np.ndarray] = []
    for i in range(3):
        data.append(0.5 * y)
        y = table["start"][i] * start + sum(w * d for w, d in zip(table["outputs"][i], data, strict=False))
    want = sample(models.from_callable(lambda x, t: 0.5 * x, law, "data"), schedule, noise(2, 3))
    np.testing.assert_allclose(y, want.numpy(), rtol=1e-12)
