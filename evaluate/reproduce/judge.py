"""Set one printed cell against what was measured: our figure, and the verdict."""

from __future__ import annotations

import statistics

from evaluate.efficiency.result import Cost, Efficiency
from evaluate.pipeline.table import in_words, seconds
from evaluate.reproduce.evidence import Evidence, Measurement
from evaluate.reproduce.poster import (
    BEST_BASELINE,
    SLOWEST_BASELINE,
    Above,
    AnnotatorAgreement,
    Cell,
    Faster,
    ModelRow,
    Negative,
    Nothing,
    Paragraphs,
    Words,
)
from evaluate.reproduce.verdict import (
    Verdict,
    all_of,
    not_comparable,
    not_run,
    of_difference,
    of_ratios,
    of_share,
)
from evaluate.statistics.intervals import Interval

NO_FIGURE = "-"


def judge(cell: Cell, evidence: Evidence) -> tuple[str, Verdict]:
    """Our figure for a cell, and what is to be thought of its claim.

    Args:
        cell: What is printed.
        evidence: What was measured.

    Returns:
        The figure in our units as text (``-`` where there is none), and the verdict.
    """
    check = cell.check
    if isinstance(check, Above):
        return _above(check, evidence)
    if isinstance(check, Faster):
        return _faster(check, evidence)
    if isinstance(check, Negative):
        return _negative(check, evidence)
    if isinstance(check, Words):
        return _words(check, evidence)
    if isinstance(check, AnnotatorAgreement):
        figure = evidence.agreement.get(check.figure)
        if figure is None:
            return NO_FIGURE, not_run("labels of two annotators: `annotate label`")
        return figure, not_comparable(evidence.agreement_remark)
    if isinstance(check, Paragraphs):
        return evidence.paragraphs, not_comparable("`annotate build-dataset` makes 2,000 of any source")
    if isinstance(check, ModelRow):
        return NO_FIGURE, not_run("see the plan of this model below")
    assert isinstance(check, Nothing)
    return NO_FIGURE, not_comparable(check.reason)


def _above(check: Above, evidence: Evidence) -> tuple[str, Verdict]:
    figures, verdicts = [], []
    for name in check.evaluations:
        measurement = evidence.evaluations.get(name)
        if measurement is None:
            verdicts.append(not_run(evidence.missing.get(name, f"the evaluation {name}")))
            continue
        if BEST_BASELINE in (check.shows, *check.than) and measurement.best_baseline(check.metric) is None:
            verdicts.append(not_comparable(f"{check.metric} of {name} is not defined for any baseline here"))
            continue
        needed = [
            _named(method, measurement, check.metric) for method in (check.shows, check.better, *check.than)
        ]
        absent = [method for method in needed if method not in measurement.scores]
        if absent:
            verdicts.append(not_run(f"{name} of {absent[0]}, which was not run or cannot explain this model"))
            continue
        label = f"{name.rsplit('-', 1)[0]} " if len(check.evaluations) > 1 else ""
        figures.append(label + _figure(check, measurement))
        verdicts += [
            of_difference(_better(check, other, measurement), about)
            for other in check.than
            for about in [f"{check.better} and {_named(other, measurement, check.metric)}"]
        ]
    return "; ".join(figures) or NO_FIGURE, all_of(verdicts)


def _better(check: Above, other: str, measurement: Measurement) -> Interval:
    if other == BEST_BASELINE:
        return measurement.better_than_best(check.better, check.metric)
    return measurement.better(check.better, other, check.metric)


def _named(method: str, measurement: Measurement, metric: str) -> str:
    return (measurement.best_baseline(metric) or "") if method == BEST_BASELINE else method


def _figure(check: Above, measurement: Measurement) -> str:
    shown = _named(check.shows, measurement, check.metric)
    if check.figure == "mean":
        small = measurement.metric(check.metric).small
        return in_words(measurement.mean(shown, check.metric), small=small) + (
            f" ({shown})" if shown != check.shows else ""
        )
    # A cell about the claim's better method is set against the other one, a cell about another against the better.
    other = check.better if shown != check.better else _named(check.than[-1], measurement, check.metric)
    above, below = (measurement.mean(method, check.metric).mean for method in (shown, other))
    if above is None or below is None or below == 0:
        return "undefined"
    if check.figure == "ratio":
        return f"{above / below:.2f}x ({above:.2f} / {below:.2f})"
    return f"{100 * (above / below - 1):+.1f}% of {other}"


def _faster(check: Faster, evidence: Evidence) -> tuple[str, Verdict]:
    costs = evidence.costs.get(check.length)
    if costs is None:
        return NO_FIGURE, not_run(evidence.missing.get(check.length, "`evaluate efficiency`"))
    rows = {row.method: row for row in costs.rows if not row.skipped}
    baselines = [row for row in rows.values() if _is_baseline(row.method)]
    if check.faster == SLOWEST_BASELINE:
        fast = max(baselines, key=lambda row: statistics.median(row.seconds), default=None)
    else:
        fast = rows.get(check.faster)
    slow = rows.get(check.than)
    if fast is None or slow is None:
        why = _why_skipped(costs, check.faster, check.than)
        return NO_FIGURE, not_run(why)
    ratios = [a / b for a, b in zip(fast.ratios, slow.ratios, strict=True)]
    verdict = of_ratios(ratios, f"{fast.method} against {slow.method}")
    if check.figure == "speed-up":
        return f"{1 / statistics.median(ratios):.2f}x as fast", verdict
    if check.shows == "baselines":
        times = sorted(statistics.median(row.seconds) * 1000 for row in baselines)
        return f"{seconds(times[0])} to {seconds(times[-1])} ({len(times)} baselines)", verdict
    shown = rows[check.shows]
    return f"{seconds(shown.seconds_per_1000)} ({_relative(shown, rows['heat'])})", verdict


def _relative(row: Cost, heat: Cost) -> str:
    share = "" if row.method == heat.method else f"{row.ratio / heat.ratio:.2f} of HEAT, "  # type: ignore[operator]
    return f"{share}{row.ratio:,.0f} forward passes"


def _why_skipped(costs: Efficiency, *methods: str) -> str:
    reasons = {row.method: row.skipped for row in costs.rows if row.skipped}
    return "; ".join(f"{name}: {reasons[name]}" for name in methods if name in reasons) or "not timed"


def _is_baseline(method: str) -> bool:
    import heat

    return heat.methods()[method].kind == "baseline"


def _negative(check: Negative, evidence: Evidence) -> tuple[str, Verdict]:
    measurement = evidence.evaluations.get(check.evaluation)
    if measurement is None:
        return NO_FIGURE, not_run(evidence.missing.get(check.evaluation, check.evaluation))
    ratios = {
        row.method: row.ratios[check.metric].mean
        for row in measurement.result.methods
        if row.method in check.methods
    }
    defined = {name: value for name, value in ratios.items() if value is not None}
    if not defined:
        return NO_FIGURE, not_comparable("no log-ratio is defined")
    negative = sum(value < 0 for value in defined.values())
    figure = ", ".join(f"{name} {value:+.2f}" for name, value in sorted(defined.items()))
    return f"log-ratio to random: {figure}", of_share(negative, len(defined), "are below 0")


def _words(check: Words, evidence: Evidence) -> tuple[str, Verdict]:
    ranked = evidence.highest.get(check.prompt)
    if ranked is None:
        return NO_FIGURE, not_run(evidence.missing.get("words", "`heat explain`"))
    top = ranked[: len(check.words)]
    hits = len(set(top) & set(check.words))
    return (
        f"{', '.join(top)} ({hits} of {len(check.words)} named words)",
        not_comparable("the poster's texts are elided, and ours are asked of another model"),
    )
