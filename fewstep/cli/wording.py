"""Problems and results in words: limits, what ended a search, winner and baseline."""

from fewstep.cli.display import measured, short
from fewstep.values.limits import Limits
from fewstep.values.result import Result

__all__ = ["ENDINGS", "limits_in_words", "summary"]

ENDINGS = {
    "budget": "its budget was spent",
    "calls": "its limit of calls was reached",
    "seconds": "its limit of seconds was reached",
    "improvement": "no forecast reached the improvement asked for",
    "space": "there were no other schedules to try",
}  # of trials, by `Result.ended`


def limits_in_words(limits: Limits) -> list[str]:
    """One phrase for each limit there is.

    >>> limits_in_words(Limits(calls=100_000, failures=0))
    ['at most 100,000 calls', 'at most 0 failed trials']
    """
    phrases = {
        "calls": limits.calls is not None and f"at most {limits.calls:,} calls",
        "seconds": limits.seconds is not None and f"at most {limits.seconds:g} s",
        "failures": limits.failures is not None and f"at most {limits.failures} failed trials",
        "improvement": limits.improvement is not None
        and f"until an improvement by {100 * limits.improvement:g} % is unlikely",
    }
    return [phrase for phrase in phrases.values() if phrase]


def summary(result: Result) -> str:
    """Winner and baseline of a search, in a few lines: by its metric, by the secondary one, and at which cost."""
    winner, baseline, problem, cost = result.winner, result.baseline, result.problem, result.cost
    between = "" if winner.interval is None else f"  [{short(winner.interval.low)}, {short(winner.interval.high)}]"
    lines = [
        f"{problem.metric} on {winner.noises} test noises",
        f"winner    {measured(winner.value, winner.standard_error)}{between}  {result.schedule.digest[:16]}",
        f"baseline  {measured(baseline.value, baseline.standard_error)}  {result.baseline_name}",
        f"ratio     {result.ratio:.2f}  [{result.ratio_interval.low:.2f}, {result.ratio_interval.high:.2f}]",
    ]
    if winner.secondary is not None and baseline.secondary is not None:
        of_winner = measured(winner.secondary.value, winner.secondary.standard_error)
        of_baseline = measured(baseline.secondary.value, baseline.secondary.standard_error)
        lines.append(f"{problem.report}: winner {of_winner}, baseline {of_baseline}")
    why = ENDINGS.get(result.ended, result.ended)
    lines.append(f"{cost.evaluations} trials, {why}; {cost.calls:,} network calls, {cost.seconds:.0f} s")
    return "\n".join(lines)
