"""The poster's tables with our figures and verdicts, written as Markdown, HTML and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from annotate.files import write_atomic
from annotate.schema import Record
from evaluate.efficiency.result import Efficiency
from evaluate.efficiency.run import efficiency
from evaluate.engine import Engine, engine_of
from evaluate.pipeline.runner import Progress, chosen_methods, no_progress, settings_of, without_obstacle
from evaluate.pipeline.store import Settings
from evaluate.reproduce.evidence import Evidence
from evaluate.reproduce.gather import gather
from evaluate.reproduce.judge import judge
from evaluate.reproduce.models import PosterModelPlan, assumptions_in_words, plan_poster_model
from evaluate.reproduce.poster import Above, Check, Faster, Negative, Words, load_models, load_poster
from evaluate.reproduce.scope import Scope
from evaluate.reproduce.verdict import Verdict
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Task
from evaluate.versions import versions

if TYPE_CHECKING:
    from heat import LanguageModel


class Line(Record):
    """One printed cell beside ours.

    Attributes:
        row: As on the poster.
        column: As on the poster, or what it has to mean.
        printed: Exactly what is printed.
        ours: Our figure in our units.
        claim: What the verdict is about.
        verdict: What is to be thought of it here.
        scale: Why the printed scale is not ours.
        command: What measures it.
    """

    row: str
    column: str
    printed: str
    ours: str
    claim: str
    verdict: Verdict
    scale: str
    command: str


class Section(Record):
    """One table of the poster."""

    section: int
    title: str
    note: str
    lines: tuple[Line, ...]


class CostLine(Record):
    """A method's time with its faithfulness beside it; None where one was not measured."""

    method: str
    tokens: int
    seconds_per_1000: float | None
    passes: float | None
    skipped: str
    aopc: Interval | None


class Reproduction(Record):
    """The whole page.

    Attributes:
        command: The command line, or the call.
        quick: Whether little was run.
        settings: Model, precision and seed.
        remarks: What must be known to read it.
        sections: The poster's tables.
        costs: Seconds per 1,000 examples of every timed method with its AOPC.
        plans: What the poster's own models would take.
        assumed: What those plans assume, in words.
        versions: Of the libraries.
    """

    schema_version: Literal[1] = 1
    command: str
    quick: bool
    settings: Settings
    remarks: tuple[str, ...]
    sections: tuple[Section, ...]
    costs: tuple[CostLine, ...]
    plans: tuple[PosterModelPlan, ...]
    assumed: str
    versions: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many cells got which verdict."""
        words = [line.verdict.word for section in self.sections for line in section.lines]
        return {word: words.count(word) for word in sorted(set(words))}


def reproduce(
    curated: Task,
    others: Mapping[str, Task],
    lm: LanguageModel | Engine,
    scope: Scope,
    *,
    out: Path,
    quick: bool = False,
    seed: int = 0,
    command: str = "",
    on_progress: Progress = no_progress,
) -> Reproduction:
    """Measure what can be measured here and set it beside the poster, cell by cell.

    Args:
        curated: The benchmark with gold.
        others: The poster's other benchmarks by name.
        lm: The model, or an engine that holds it; seconds are measured in this process.
        scope: How much is run.
        out: Results folder, shared with all evaluations; finished work in it is not computed again.
        quick: Whether `scope` is the small one, to be said on the page.
        seed: Seed of everything.
        command: How this was called.
        on_progress: Progress callback.

    Returns:
        The page. It is also in ``out``, as ``reproduce.md``, ``.html`` and ``.json``.
    """
    from evaluate.reproduce.page import as_html, as_markdown

    tables = load_poster()
    evidence = gather(tables, curated, others, lm, scope, out=out, seed=seed, on_progress=on_progress)
    here = engine_of(lm).lm
    costs, missing = _costs(curated, here, scope, out, seed, quick, on_progress)
    evidence = replace(evidence, costs=costs, missing={**evidence.missing, **missing})
    sections = []
    for table in tables:
        lines = []
        for cell in table.cell:
            ours, verdict = judge(cell, evidence)
            lines.append(
                Line(
                    row=cell.row,
                    column=cell.column,
                    printed=cell.printed,
                    ours=ours,
                    claim=cell.claim,
                    verdict=verdict,
                    scale=cell.scale,
                    command=command_of(cell.check, scope.length),
                )
            )
        sections.append(
            Section(section=table.section, title=table.title, note=table.note, lines=tuple(lines))
        )
    assumptions, models = load_models()
    result = Reproduction(
        command=command,
        quick=quick,
        settings=settings_of(here, seed=seed),
        remarks=tuple(_remarks(here, evidence, quick)),
        sections=tuple(sections),
        costs=tuple(_cost_lines(evidence)),
        plans=tuple(plan_poster_model(model, assumptions) for model in models),
        assumed=assumptions_in_words(assumptions),
        versions=versions(),
    )
    write_atomic(out / "reproduce.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(out / "reproduce.md", as_markdown(result))
    write_atomic(out / "reproduce.html", as_html(result))
    return result


def _costs(
    task: Task, lm: LanguageModel, scope: Scope, out: Path, seed: int, quick: bool, on_progress: Progress
) -> tuple[dict[str, Efficiency], dict[str, str]]:
    """Costs on the long and the short text, and why one of them is missing."""
    from evaluate.efficiency.prompts import with_random_weights

    costs: dict[str, Efficiency] = {}
    missing: dict[str, str] = {}
    if scope.long is None:
        missing["long"] = "`evaluate reproduce` without --quick"
    else:
        holds = lm.context_length is None or lm.context_length >= scope.long
        long = lm if holds else with_random_weights(lm, scope.long, seed=seed)
        costs["long"] = efficiency(
            task,
            long,
            without_obstacle(chosen_methods(scope.timed_long), lm),
            [scope.long],
            out=out,
            repeats=1,
            budget=300.0,
            seed=seed,
            on_progress=on_progress,
        )
    costs["default"] = efficiency(
        task,
        lm,
        without_obstacle(chosen_methods(scope.timed), lm),
        [scope.length],
        out=out,
        repeats=scope.repeats,
        seed=seed,
        on_progress=on_progress,
    )
    return costs, missing


def _remarks(lm: LanguageModel, evidence: Evidence, quick: bool) -> list[str]:
    lines = [
        f"Ours: {lm.name}. The poster's figures are of other models and data, so a verdict is about the direction of a "
        "claim alone, and a printed number is never rescaled.",
        "agrees in direction, disagrees: the 95 % interval of the paired difference lies wholly on one side of 0 (for "
        "seconds: every turn does). Where it holds 0 the examples do not decide, and the cell is not comparable.",
    ]
    if quick:
        lines.append(
            "--quick: a few examples, whose intervals are wide: take no verdict from it. Fewer than six decide nothing."
        )
    for name, measurement in evidence.evaluations.items():
        remark = f"; {measurement.remark}" if measurement.remark else ""
        source = measurement.result.source.split()[0]
        lines.append(
            f"{name}: {measurement.result.scored} of {measurement.result.asked} examples from {source}{remark}."
        )
    for name, cost in evidence.costs.items():
        lines.append(
            f"Seconds, {name}: {cost.lengths[0]:,} tokens, {cost.model}, {cost.device}, {cost.threads} threads."
        )
    return lines


def _cost_lines(evidence: Evidence) -> list[CostLine]:
    faithful = evidence.evaluations.get("curated-faithfulness")
    lines = []
    for name, costs in evidence.costs.items():
        for row in costs.rows:
            known = name == "default" and faithful is not None and row.method in faithful.scores
            lines.append(
                CostLine(
                    method=row.method,
                    tokens=row.tokens,
                    seconds_per_1000=row.seconds_per_1000,
                    passes=row.ratio,
                    skipped=row.skipped,
                    aopc=faithful.mean(row.method, "comprehensiveness") if known and faithful else None,
                )
            )
    return sorted(lines, key=lambda line: (line.tokens, line.seconds_per_1000 or 0.0))


def command_of(check: Check, length: int) -> str:
    """The command that measures a cell by itself, costs on a text of that length."""
    if isinstance(check, Above):
        methods = "".join(
            f" --method {name}"
            for name in dict.fromkeys([check.better, *check.than])
            if name != "best baseline"
        )
        if "best baseline" in check.than:
            methods = " --method all"
        return "; ".join(_evaluation_command(name, methods) for name in check.evaluations)
    if isinstance(check, Faster):
        extra = " --length 2048 --random-weights 2048" if check.length == "long" else f" --length {length}"
        return f"evaluate efficiency{extra}"
    if isinstance(check, Negative):
        return _evaluation_command(check.evaluation, " --method all")
    if isinstance(check, Words):
        return f'heat explain "{check.prompt}" --target "{check.target}"'
    return {
        "agreement": "annotate agreement",
        "paragraphs": "annotate build-dataset",
        "model": "evaluate reproduce --model NAME",
    }.get(check.kind, "")


def _evaluation_command(name: str, methods: str) -> str:
    benchmark, _, kind = name.rpartition("-")
    if name.startswith("robustness-"):
        return f"evaluate robustness --probe {kind}{methods}"
    where = f" --benchmark {benchmark}" if benchmark not in ("curated", "long") else ""
    return f"evaluate {kind}{where}{methods}"
