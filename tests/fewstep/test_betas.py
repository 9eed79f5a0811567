"""Tables by the rule of their betas: exact in both directions, small when stored, the same to whoever compares."""

import json

import pytest

from fewstep import Schedule, processes, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.models.scheduler_config import read
from fewstep.processes import Discrete
from fewstep.processes.betas import expand, recognise

RULES = [
    {"betas": "linear", "first": 0.0001, "last": 0.02, "count": 1000},
    {"betas": "scaled_linear", "first": 0.00085, "last": 0.012, "count": 1000},
    {"betas": "scaled_linear", "first": 0.00085, "last": 0.012, "count": 1000, "zero_snr": True},
    {"betas": "scaled_linear", "first": 0.0015, "last": 0.0195, "count": 50},
]


def config(rule: dict) -> dict:
    """The scheduler's config that has this rule."""
    return {
        "_class_name": "DDIMScheduler",
        "beta_schedule": rule["betas"],
        "beta_start": rule["first"],
        "beta_end": rule["last"],
        "num_train_timesteps": rule["count"],
        "rescale_betas_zero_snr": rule.get("zero_snr", False),
    }


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_checkpoint_s_table_is_recognised(rule: dict) -> None:
    """The table of a diffusers config is exactly that of its rule, and tells it."""
    process = read(config(rule)).process
    assert process.alphas_cumprod == expand(rule)
    assert recognise(process.alphas_cumprod) == rule


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_stored_process_is_small(rule: dict) -> None:
    """By its rule, in version 2; the schedule that is read is equal, with the digest of the whole table."""
    process = Discrete(expand(rule))
    schedule = solvers.named("ddim").schedule(process, 4)
    stored = json.loads(schedule.to_json())
    assert (stored["version"], stored["process"]) == (2, {"kind": "discrete", **rule})
    assert len(schedule.to_json()) < 2500
    whole = stored | {"version": 1, "process": processes.to_dict(process)}
    for document in (stored, whole):
        read_back = Schedule.from_json(json.dumps(document))
        assert (read_back, read_back.digest) == (schedule, stored["digest"])
    with pytest.raises(InvalidSchedule, match="which wants version 2"):
        Schedule.from_dict(stored | {"version": 1})


@pytest.mark.parametrize("table", [(0.9, 0.5, 0.1), (*expand(RULES[0])[:-1], expand(RULES[0])[-1] * (1 - 1e-12))])
def test_another_table_is_stored_whole(table: tuple[float, ...]) -> None:
    """One entry that differs by a rounding error is another table, in version 1 as ever."""
    assert recognise(table) is None
    stored = solvers.named("ddim").schedule(Discrete(table), 2).to_dict()
    assert (stored["version"], stored["process"]["alphas_cumprod"]) == (1, list(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": "cosine"}, "unknown rule of betas 'cosine'"),
        ({"betas": 1}, "unknown rule of betas"),
        ({"first": 0.0}, "betas lie between 0 and 1"),
        ({"last": "0.02"}, "last is a finite number"),
        ({"count": 1}, "count is a whole number from 2"),
        ({"count": 10**9}, "count is a whole number from 2 to 100000"),
        ({"zero_snr": 1}, "zero_snr is true or false"),
        ({"alphas_cumprod": [0.9, 0.5]}, "a table by its betas' rule has"),
    ],
)
def test_wrong_rules_are_refused(change: dict, message: str) -> None:
    """Each with its own message."""
    with pytest.raises(InvalidInput, match=message):
        processes.from_dict({"kind": "discrete", **RULES[0], **change})
