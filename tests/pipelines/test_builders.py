"""Every tiny pipeline runs, is the same each time it is built, and feels its noise and its condition."""

import warnings
from itertools import combinations
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.pipelines.genuine import Step, record, run
from tests.pipelines.table import LEFT_OUT, PIPELINES, QUICK, WARNINGS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]


def entries(names: Any) -> list[Any]:
    """The names as parameters; those outside the quick ten run in `make full` only."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.full) for name in names]


def current(kind: type[Any]) -> bool:
    """Whether a class is a pipeline that diffusers still keeps up, other than the base of all."""
    return kind is not diffusers.DiffusionPipeline and ".deprecated" not in kind.__module__


def differ(one: Step, other: Step) -> bool:
    """Whether two recorded outputs of the network differ visibly."""
    return float((one.model_output - other.model_output).abs().max()) > 1e-3


@pytest.mark.parametrize("name", entries(PIPELINES))
def test_runs_and_feels_its_inputs(name: str):
    """Two steps are finite, the same from a second build, and differ between conditions and between seeds."""
    tiny = PIPELINES[name]()
    conditions = [record(tiny, steps=2, condition=condition) for condition in range(len(tiny.conditions))]
    for step in (step for steps in conditions for step in steps):
        assert step.sample.isfinite().all()
        assert step.model_output.isfinite().all()
        assert step.sample.dtype == step.model_output.dtype == torch.float32
    assert len(tiny.conditions) >= 3
    if any(tiny.conditions):
        assert all(differ(one[0], other[0]) for one, other in combinations(conditions, 2))
    assert differ(conditions[0][0], record(tiny, steps=2, seed=1)[0])

    again = record(PIPELINES[name](), steps=2)
    assert len(again) == len(conditions[0])
    for one, other in zip(again, conditions[0], strict=True):
        assert one.timestep == other.timestep
        assert torch.equal(one.sample, other.sample)
        assert torch.equal(one.model_output, other.model_output)


@pytest.mark.parametrize("name", entries(PIPELINES))
def test_returns_finite_numbers(name: str):
    """What a pipeline returns after its own number of steps is finite."""
    output = run(PIPELINES[name]())
    arrays = output if isinstance(output, list) else [output]
    assert all(np.isfinite(np.asarray(array)).all() for array in arrays)


def test_a_record_changes_nothing():
    """A recorded run returns what an unrecorded one returns, and the scheduler's class is as before."""
    tiny = PIPELINES["StableDiffusionPipeline"]()
    genuine = type(tiny.pipe.scheduler).step
    plain = run(tiny, steps=2)
    steps = record(tiny, steps=2)
    assert type(tiny.pipe.scheduler).step is genuine
    last = tiny.pipe.scheduler.step(steps[-1].model_output, int(steps[-1].timestep), steps[-1].sample)
    assert torch.equal(last.prev_sample, plain)


@pytest.mark.full
def test_every_class_is_built_or_left_out():
    """Each public pipeline of diffusers that is not deprecated is in one of the tables, and in one only."""
    built = {name.split(" ")[0] for name in PIPELINES}
    assert not built & set(LEFT_OUT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = [getattr(diffusers, name) for name in dir(diffusers) if name.endswith("Pipeline")]
    pipelines = {kind.__name__ for kind in classes if issubclass(kind, diffusers.DiffusionPipeline) and current(kind)}
    assert pipelines == built | set(LEFT_OUT)
