"""What no schedule can mean is refused when it is made, by a message that names the entry and the rule."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep import Schedule, Step, compile
from fewstep.errors import InvalidSchedule
from fewstep.processes import VE, Cosine, Flow, Process, VPLinear
from tests.fewstep.drawn import fields, laws

ANY = st.one_of(st.integers(-6, 6), st.floats(), st.text(max_size=4), st.none(), st.booleans(), st.lists(st.integers()))


@settings(max_examples=300)
@given(laws, st.lists(st.tuples(fields(), st.floats(0, 1)), min_size=1, max_size=5))
def test_any_choices_make_a_schedule_or_name_the_broken_rule(law: Process, drawn: list[tuple[dict, float]]) -> None:
    """Nothing else escapes: a field by its name, a step or a time by its place; what is accepted compiles."""
    shares = sorted((share for _, share in drawn), reverse=True)
    times = [law.t_max, *(law.t_zero + share * (law.t_max - law.t_zero) for share in shares)]
    steps = []
    for given_fields, _ in drawn:
        with suppress(InvalidSchedule):
            steps.append(Step(**given_fields))
            continue
        with pytest.raises(InvalidSchedule, match=r"weights|points|corrector|scale|eta|fresh noise"):
            Step(**given_fields)
        steps.append(Step(given_fields["prediction"], given_fields["order"]))
    with suppress(InvalidSchedule):
        assert np.isfinite(compile(Schedule(law, tuple(times), tuple(steps))).outputs).all()
        return
    with pytest.raises(InvalidSchedule, match=r"(steps|times)\[[0-5]\]"):
        Schedule(law, tuple(times), tuple(steps))


@given(st.sampled_from(list(Step.__dataclass_fields__)), ANY)
def test_a_field_of_any_kind_is_taken_or_refused_by_name(name: str, value: object) -> None:
    """No value of any type gets past a step but as an `InvalidSchedule` that says which field it is."""
    with suppress(InvalidSchedule):
        assert Step(**{name: value}) == Step(**{name: value})
        return
    with pytest.raises(InvalidSchedule, match=name if name != "start" else "start|points"):
        Step(**{name: value})


LAW, NOISY = VPLinear(t_min=0.0), Cosine(t_min=0.0, t_max=1.0)
FALLING = (0.9, 0.6, 0.3, 0.1)


@pytest.mark.parametrize(
    ("law", "times", "steps", "message"),
    [
        (
            LAW,
            FALLING,
            (Step(), Step(order=3), Step()),
            r"steps\[1\] has order 3, but only 2 outputs can be used there",
        ),
        (LAW, FALLING, (Step(), Step(start=-3), Step()), r"steps\[1\] starts 3 states back, but only 2 exist"),
        (
            LAW,
            FALLING,
            (Step(), Step(order=2, points=((-4,),)), Step()),
            r"steps\[1\] uses an output 4 calls back, but there are fewer",
        ),
        (
            LAW,
            (0.9, 0.6, 0.6, 0.1),
            (Step(), Step(start=-2), Step(order=2)),
            r"steps\[2\] uses the outputs of calls 1 and 2, whose log-SNR differs by 0",
        ),
        (LAW, FALLING, (Step(), Step(), Step(corrector=2)), r"steps\[2\] is the last: no call comes after it"),
        (
            LAW,
            (0.9, 0.6, 0.0),
            (Step(), Step("noise", 2, "bh2", variable="t")),
            r"steps\[1\] scales a derivative over an infinite log-SNR gap",
        ),
        (
            LAW,
            (0.9, 0.6, 0.0),
            (Step(), Step("data", 2, points=((-2,),))),
            r"steps\[1\] interpolates in lambda, which is infinite at times\[2\] = 0.0",
        ),
        (
            NOISY,
            (1.0, 0.6, 0.3),
            (Step(), Step("noise", 2, variable="t", start=-2, points=((-1,),))),
            r"steps\[1\] predicts noise from alpha = 0",
        ),
        (LAW, FALLING, (Step(offset=0.2), Step(), Step()), r"steps\[0\] tells the network time 1.1 \(offset 0.2\)"),
        (Flow(), (0.9, 0.0, 0.0), (Step(), Step(start=-2)), r"times\[1\] = 0.0 is clean data"),
        (VE(), (80.0, 1e-310), (Step("noise"),), r"times\[1\] = 1e-310 raises log-SNR by 718 over .* steps\[0\] leads"),
        (LAW, (0.9, 0.6, 0.6), (Step(), Step()), r"times\[2\] = 0.6 does not lie below times\[1\] = 0.6"),
    ],
)
def test_a_broken_rule_is_named_with_its_step(
    law: Process, times: tuple[float, ...], steps: tuple[Step, ...], message: str
) -> None:
    """The step by its number, what it asks for, and what there is."""
    with pytest.raises(InvalidSchedule, match=message):
        Schedule(law, times, steps)


@pytest.mark.parametrize(
    ("given_fields", "message"),
    [
        ({"order": 2, "weights": (0.5, 0.6)}, r"weights are 2 numbers \(the order\) with sum 1"),
        ({"order": 2, "weights": (0.5, 0.5), "points": ((-1,),)}, "with weights, points is one tuple of 2 outputs"),
        ({"order": 3, "points": ((-2,),)}, "points has one tuple for each of 2 derivatives"),
        ({"order": 2, "points": ((-1,),)}, r"outputs other than the starting one \(-1\)"),
        ({"order": 3, "points": ((-2,), (-2,))}, "derivative 2 is estimated from 2 to 4 outputs"),
        ({"order": 2, "points": ((-2, -2),)}, "points names an output twice"),
        ({"order": 2, "points": ((0,),)}, "points names outputs by how far they lie back"),
        ({"order": 2, "points": 3}, "points is a sequence of sequences"),
        ({"corrector": 1}, "corrector is 0 for none or an order from 2 to 2"),
        ({"order": 2, "corrector": 4}, "corrector is 0 for none or an order from 2 to 3"),
        ({"weights": (1.0,), "corrector": 2}, "a step with weights has no corrector"),
        ({"weights": (1.0,), "eta": 0.5}, "a step with weights has no corrector and no fresh noise"),
        ({"order": 2, "variable": "velocity", "scale": "bh2"}, r"velocity takes the scales \('none', 'linear'\)"),
        ({"eta": -0.1}, "eta is at least 0"),
        ({"eta": 1.5}, "at most 1 unless noise is 'langevin'"),
        ({"prediction": "noise", "order": 2, "eta": 1.0}, "fresh noise beyond order 1 goes with data prediction"),
        ({"order": 2, "variable": "t", "eta": 1.0}, "data in t: set eta to 0"),
        ({"noise": "brownian"}, r"noise is one of \('ancestral', 'bridge', 'langevin'\)"),
        ({"weights": "1"}, "weights is a sequence of numbers"),
        ({"offset": float("inf")}, "offset is a finite number"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(given_fields: dict, message: str) -> None:
    """A step alone knows these: the message says which choices, and what to do."""
    with pytest.raises(InvalidSchedule, match=message):
        Step(**given_fields)
