"""Problems and results in words: cost, limits, what ended a search, winner and baseline."""

from fewstep.cli.display import duration, measured, short
from fewstep.values.estimate import Estimate
from fewstep.values.limits import Limits
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import Problem
from fewstep.values.result import Measured, Result, Summary
from fewstep.values.score import Interval

__all__ = ["ENDINGS", "compared", "estimate", "fetch_command", "label", "limits_in_words", "summary"]

ENDINGS = {
    "budget": "its budget was spent",
    "calls": "its limit of calls was reached",
    "seconds": "its limit of seconds was reached",
    "improvement": "no forecast reached the improvement asked for",
    "space": "there were no other schedules to try",
}  # of trials, by `Result.ended`
LABELS = {
    "mean": "mean distance",
    "typical": "typical error",
    "trimmed": "trimmed RMS error",
    "saturating": "saturating error",
    "rms": "RMS error",
    "median": "median error",
    "p95": "95th percentile",
    "switch": "switch rate",
}  # of paired errors; the others are called as they are written
SHOWN = ("typical", "switch", "frechet")  # of the summaries


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


def label(metric: str) -> str:
    """What a metric is called on a page.

    >>> label("typical"), label("frechet:digits:teacher")
    ('typical error', 'frechet:digits:teacher')
    """
    return LABELS.get(metric, metric)


def compared(result: Result) -> list[tuple[Summary, Summary]]:
    """Winner and baseline by the summaries worth a line: typical error, switch rate and Fréchet distance, unless they
    are the objective or the secondary metric."""
    problem, baseline = result.problem, result.baseline
    pairs = [(each, baseline.summary(each.metric)) for each in result.winner.summaries]
    return [
        (ours, theirs)
        for ours, theirs in pairs
        if theirs is not None
        and ours.metric.split(":")[0] in SHOWN
        and ours.metric not in (problem.metric, problem.report)
    ]


def summary(result: Result) -> str:
    """Winner and baseline of a search, in a few lines: by its metric, by others, and at which cost."""
    winner, baseline, problem = result.winner, result.baseline, result.problem
    lines = [
        f"{problem.metric} on {winner.noises} test noises, effort {problem.effort}",
        f"winner    {_value(winner)}  {result.schedule.digest[:16]}",
        f"baseline  {measured(baseline.value, baseline.standard_error)}  {result.baseline_name}",
        f"ratio     {result.ratio:.2f}  {_between(result.ratio_interval)}",
    ]
    if winner.secondary is not None and baseline.secondary is not None:
        of_winner = measured(winner.secondary.value, winner.secondary.standard_error)
        of_baseline = measured(baseline.secondary.value, baseline.secondary.standard_error)
        lines.append(f"{problem.report}: winner {of_winner}, baseline {of_baseline}")
    for ours, theirs in compared(result):
        lines.append(f"{ours.metric}: winner {_value(ours)}, baseline {_value(theirs)}")
    if result.out_of_span is not None:
        lines.append(f"out of span: {100 * result.out_of_span:.0f} % of the error, which no coefficients could remove")
    if result.verdict is not None:
        lines.append(result.verdict)
    if result.warnings:
        lines.append(f"warning: worse than the baseline by {', '.join(result.warnings)}")
    return "\n".join([*lines, _spent(result)])


def estimate(expected: Estimate) -> str:
    """The cost card of a search, in one line.

    >>> from fewstep.values.cost_card import cost_card
    >>> from fewstep.values.problem import Problem
    >>> problem = Problem("m", 8, effort="quick")
    >>> words = estimate(Estimate(problem, cost_card(problem, seconds_per_call=0.01), 0.5))
    >>> words.startswith("8 NFE, effort quick: at most 3,000 network calls of the search and 2,944 of the test")
    True
    >>> words.endswith("(5,944 passes), 59 s; ratio 0.50 expected")
    True
    """
    cost, problem = expected.cost, expected.problem
    calls = f"at most {cost.search_calls:,} network calls of the search and {cost.test_calls:,} of the test"
    seconds = "" if cost.seconds is None else f", {duration(cost.seconds)}"
    ratio = "" if expected.expected_ratio is None else f"; ratio {expected.expected_ratio:.2f} expected"
    return f"{problem.nfe} NFE, effort {problem.effort}: {calls} ({cost.passes:,} passes){seconds}{ratio}"


def fetch_command(problem: Problem) -> str:
    """The command that fetches the best schedule for a problem of the service's.

    >>> fetch_command(Problem("m", 8, "rms"))
    'fewstep fetch m --nfe 8 --metric rms -o schedule.json'
    """
    metric = "" if problem.metric == DEFAULT else f" --metric {problem.metric}"
    return f"fewstep fetch {problem.model} --nfe {problem.nfe}{metric} -o schedule.json"


def _spent(result: Result) -> str:
    cost = result.cost
    calls = f"{cost.calls:,} network calls"
    if cost.test_calls:
        calls = f"{cost.search_calls:,} network calls of the search and {cost.test_calls:,} of the test"
    if cost.passes_per_call > 1:
        calls += f" ({cost.passes_spent:,} passes)"
    if cost.shared_calls:
        calls += f", {cost.shared_calls:,} saved by the teacher of an earlier search"
    return f"{cost.evaluations} trials, {ENDINGS.get(result.ended, result.ended)}; {calls}, {duration(cost.seconds)}"


def _value(item: Measured | Summary) -> str:
    """A value with its standard error, where it has one, and its interval."""
    value = measured(item.value, item.standard_error) if isinstance(item, Measured) else short(item.value)
    return value if item.interval is None else f"{value}  {_between(item.interval)}"


def _between(interval: Interval) -> str:
    return f"[{short(interval.low)}, {short(interval.high)}]"
