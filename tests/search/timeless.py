"""Results without what the clock says, to compare searches by."""

from dataclasses import replace

from fewstep.values.result import Result


def timeless(result: Result) -> Result:
    """The result with no seconds in it, and as if it had made its teacher itself."""
    stages = tuple(replace(stage, seconds=0.0) for stage in result.cost.stages)
    calls = result.cost.calls + result.cost.shared_calls
    cost = replace(result.cost, seconds=0.0, stages=stages, calls=calls, shared_calls=0, test_calls=0)
    return replace(result, cost=cost)
