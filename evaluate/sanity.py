"""What any explanation must pass: it depends on the model, repeats itself, and adds up where it promises to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from annotate.files import write_atomic
from annotate.schema import Record
from evaluate.engine import Engine, Failure, engine_of
from evaluate.errors import EvaluateError, NothingScoredError
from evaluate.pipeline.runner import Progress, encode, no_progress
from evaluate.pipeline.table import in_words
from evaluate.statistics.intervals import Interval, mean_interval
from evaluate.tasks.task import Example, Target, Task

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor
    from transformers import PreTrainedModel

    from heat import Attribution, LanguageModel


class Sanity(Record):
    """One method's checks.

    Attributes:
        randomised: Spearman correlation of the scores with those of the same model with shuffled weights (Adebayo et
            al. 2018): near 1 for a method that does not look at what the model learned.
        repeats: Whether a second run gave exactly the same scores.
        completeness: |Σ_i a_i - (g(E) - g(baseline))| / |g(E) - g(baseline)|, where the method promises 0;
            ``None`` where it promises nothing.
        examples: Number of examples looked at.
    """

    method: str
    randomised: Interval
    repeats: bool
    completeness: Interval | None
    examples: int


class SanityChecks(Record):
    """The checks of several methods, and how they were made."""

    schema_version: Literal[1] = 1
    command: str
    rows: tuple[Sanity, ...]


def write_sanity(rows: Sequence[Sanity], out: Path, command: str) -> None:
    """Leave the checks in a results folder as ``sanity.json``, where the report finds them."""
    checks = SanityChecks(command=command, rows=tuple(rows))
    write_atomic(out / "sanity.json", checks.model_dump_json(indent=2) + "\n")


def sanity(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    *,
    seed: int = 0,
    target: Target | None = None,
    on_progress: Progress = no_progress,
) -> list[Sanity]:
    """Check methods on a few examples; needs the memory of a second model.

    Args:
        task: Examples; those that do not fit the model are left out.
        lm: The model, or an engine that holds it.
        methods: Registered names.
        seed: Seed of the methods and of the shuffling.
        target: Which target tokens are attributed; ``None``: as the task has it.
        on_progress: Progress callback.

    Raises:
        NothingScoredError: No example fits the model.
        EvaluateError: A method broke on an example.
    """
    engine = engine_of(lm)
    start = partial(_start, seed=seed, target=task.target(target), contrast=task.contrast)
    on_progress(methods[0], 0, len(task.examples))
    checks: dict[str, dict[str, _MethodCheck]] = {name: {} for name in methods}
    jobs = [(name, example) for name in methods for example in task.examples]
    done = dict.fromkeys(methods, 0)
    for (name, example), checked in engine.map(start, jobs):
        if isinstance(checked, Failure):
            raise EvaluateError(f"{name} failed on {example.id}: {checked.error}")
        if checked is not None:
            checks[name][example.id] = checked
        done[name] += 1
        on_progress(name, done[name], len(task.examples))
    fitting = [example for example in task.examples if example.id in checks[methods[0]]]
    if not fitting:
        raise NothingScoredError(f"none of the {len(task.examples)} examples fits the model")
    texts = [example.text_key for example in fitting]
    rows = []
    for name in methods:
        of_method = [checks[name][example.id] for example in fitting]
        gaps = [check.gap for check in of_method if check.gap is not None]
        rows.append(
            Sanity(
                method=name,
                randomised=mean_interval([check.correlation for check in of_method], texts, seed=seed),
                repeats=all(check.repeats for check in of_method),
                completeness=mean_interval(gaps, texts, seed=seed) if gaps else None,
                examples=len(of_method),
            )
        )
    return rows


@dataclass(frozen=True)
class _MethodCheck:
    """What one example says of one method."""

    correlation: float
    repeats: bool
    gap: float | None


def _start(
    lm: LanguageModel, *, seed: int, target: Target, contrast: bool
) -> Callable[[tuple[str, Example]], _MethodCheck | None]:
    """Start checking on a worker: the model with shuffled weights is made once."""
    shuffled: list[LanguageModel] = []

    def check(job: tuple[str, Example]) -> _MethodCheck | None:
        """Check one method on one example; ``None`` where the example does not fit the model."""
        import heat
        from heat.errors import HeatError

        name, example = job
        try:
            encoded = encode(lm, example, target, contrast=contrast)
        except (HeatError, EvaluateError):
            return None
        if lm.context_length is not None and len(encoded.token_ids) > lm.context_length:
            return None
        if not shuffled:
            # With its revision: what a method learned of the model (at2) is held against the shuffled one.
            shuffled.append(replace(lm, model=_shuffled(lm.model, seed)))
        first, again = (heat.attribute(lm, encoded, None, name, seed=seed) for _ in range(2))
        other = heat.attribute(shuffled[0], encoded, None, name, seed=seed)
        return _MethodCheck(
            correlation=_correlation(first, other),
            repeats=bool((first.scores == again.scores).all()),
            gap=_gap(lm, first) if heat.methods()[name].completeness else None,
        )

    return check


def _shuffled(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A copy whose every weight tensor holds the same numbers in another order."""
    import torch

    shuffled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in shuffled.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return shuffled


def _correlation(first: Attribution, second: Attribution) -> float:
    """Spearman's rho over the context's tokens, mean over targets; ``nan`` where one says nothing."""
    from scipy.stats import spearmanr

    values = []
    start = first.target_span[0]
    for row in range(len(first.scores)):
        a, b = (attribution.scores[row, : start + row].numpy() for attribution in (first, second))
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            values.append(float(spearmanr(a, b).statistic))
    return float(np.mean(values)) if values else float("nan")


def _gap(lm: LanguageModel, attribution: Attribution) -> float:
    """How far the scores are from adding up to what the baseline takes away, mean over targets."""
    import torch

    from evaluate.faithfulness.perturb import ask_without, context_of

    gaps = []
    for row, scores in enumerate(attribution.scores):
        context = context_of(lm, attribution, row)
        context.erasable[:] = True
        keep = torch.stack([torch.ones(len(context)), torch.zeros(len(context))]).bool()
        baseline = attribution.config.get("baseline", "zero")
        answers = ask_without(context, keep, baseline, partial(_column, context.target_id))
        wanted = float(answers[0] - answers[1])
        gaps.append(abs(float(scores.double().sum()) - wanted) / abs(wanted) if wanted else float("nan"))
    return float(np.mean(gaps))


def _column(index: int, values: Tensor) -> Tensor:
    return values[:, index]


def sanity_table(rows: Sequence[Sanity]) -> Table:
    """A row a method for people at a terminal."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        caption=f"{rows[0].examples} examples. shuffled weights: Spearman with the scores of the model with shuffled "
        "weights, low for a method that looks at the model.",
        caption_justify="left",
    )
    for column in ("method", "shuffled weights", "repeats itself", "off from adding up"):
        table.add_column(column)
    for row in sorted(rows, key=lambda row: row.randomised.mean or 0.0):
        table.add_row(
            row.method,
            in_words(row.randomised),
            "yes" if row.repeats else "NO",
            "-" if row.completeness is None else in_words(row.completeness),
        )
    return table
