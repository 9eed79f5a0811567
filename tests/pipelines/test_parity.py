"""Captured outputs are those of the pipeline's own run; an installed schedule gives the samples of `fewstep.sample`.

Every class is tried in `make full`, ten in every run. A class that is not exact is refused with the reason, never
served silently wrong.
"""

import json

import pytest

from tests.pipelines.matrix import EXACT, PAGE, REPORT, SAME, Blended, Row, captured, installed, parity, refusal, table
from tests.pipelines.table import LEFT_OUT, PIPELINES, WARNINGS
from tests.pipelines.test_builders import entries

pytestmark = [pytest.mark.filterwarnings(warning) for warning in WARNINGS]

STORED = {each["name"]: Row(**each) for each in json.loads(REPORT.read_text())}
REFUSED = {name: row.reason for name, row in STORED.items() if row.deviation is None}
SERVED = [name for name in PIPELINES if name not in REFUSED]
BLENDED = [name for name in SERVED if STORED[name].reason]


@pytest.mark.parametrize("name", entries(SERVED))
def test_captured_outputs_are_genuine(name: str):
    """Outputs at the states and times of the pipeline's own run are those of that run, to 1e-5 of the largest."""
    tiny = PIPELINES[name]()
    assert parity(tiny, captured(tiny)) <= SAME


@pytest.mark.parametrize("name", entries(SERVED))
def test_an_installed_schedule_gives_the_samples(name: str):
    """The pipeline makes the schedule's calls and arrives at the samples of `fewstep.sample` from the same noise."""
    tiny = PIPELINES[name]()
    if name in BLENDED:
        with pytest.raises(Blended, match="changes its latents"):
            installed(tiny, captured(tiny))
        return
    apart, calls = installed(tiny, captured(tiny))
    assert apart <= EXACT
    assert calls == STORED[name].calls


@pytest.mark.full
@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_with_the_reason(name: str):
    """A pipeline whose step is no function of state and time is refused, with words that say so."""
    assert refusal(PIPELINES[name]())


def test_the_page_is_of_these_rows():
    """The page of pipelines shows the stored rows, one for every class that is built."""
    assert set(STORED) == set(PIPELINES)
    assert table([STORED[name] for name in PIPELINES]) in PAGE.read_text()
    assert not set(STORED) & set(LEFT_OUT)


def test_enough_classes_are_exact():
    """Of at least 45 classes at least 40 are captured exactly, and none of those served is not."""
    exact = [row for row in STORED.values() if row.deviation is not None and row.deviation <= EXACT]
    assert len(STORED) >= 45
    assert len(exact) >= 40
    assert all(STORED[name].deviation <= SAME for name in SERVED)
