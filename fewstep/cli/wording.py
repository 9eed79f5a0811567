"""Problems and results in words: limits, what ended a search, what it found."""

from fewstep.cli.display import measured, short
from fewstep.values.limits import Limits
from fewstep.values.problem import Result

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
    """What a search found, in a few lines: by its metric, by the one beside it, and at which cost."""
    score, baseline, problem = result.score, result.baseline, result.problem
    between = "" if result.low is None or result.high is None else f"  [{short(result.low)}, {short(result.high)}]"
    lines = [
        f"{problem.metric} on {score.noises} held-out noises",
        f"found     {measured(score.value, score.standard_error)}{between}  {result.schedule.digest[:16]}",
        f"baseline  {measured(baseline.value, baseline.standard_error)}  {result.baseline_name}",
        f"ratio     {result.ratio:.2f}  [{result.ratio_low:.2f}, {result.ratio_high:.2f}]",
    ]
    if result.second is not None and result.second_baseline is not None:
        found, by_hand = (measured(each.value, each.standard_error) for each in (result.second, result.second_baseline))
        lines.append(f"{problem.report}: found {found}, baseline {by_hand}")
    why = ENDINGS.get(result.ended, result.ended)
    lines.append(f"{result.evaluations} trials, {why}; {result.calls:,} network calls, {result.seconds:.0f} s")
    return "\n".join(lines)
