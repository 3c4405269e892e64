"""Which form of HEAT is the default: every gate, mix and aggregation on texts that people marked, by real models.

    python benchmarks/defaults.py --shared ../shared --model models/smollm2 --model models/gemma3 --out defaults

Texts are split once, by their checksum, into a half that chooses and a half that reports. Best is the form of HEAT (a
gate, and both curvature and information) with the best mean AUPRC over the real models' choosing halves. The formula as
printed, with the sum of the two, gives way to another mix only where the choosing halves show a difference (95 %
interval of the paired difference above 0). The reporting halves say what the choice is worth, and how far it is from
the runner-up, text by text. The embedded reader and
stories260K are shown and choose nothing. HEAT's parts are computed once a text, in results folders that
`evaluate alignment` shares (`OUT/SET-MODEL`); all forms are read off them, and a run that is interrupted resumes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.tasks.task import Aggregation, Example
    from heat import Attribution, LanguageModel

    Values = NDArray[np.float64]

GATES: dict[str, dict[str, Any]] = {
    "full": {"residual": "full"},
    "without-self": {"residual": "without-self"},
    "half": {"residual": "half"},
    "relevance": {"residual": "relevance"},
    "value": {"transition": "value"},
    "none": {"transition": "uniform"},
}
MIXES = ("sum", "geometric", "curvature", "information", "gate alone")
AGGREGATIONS: tuple[Aggregation, ...] = ("mean", "sum", "max")

# Benchmark, its rows below --shared, and the prompt. Sets of people's marks alone.
SETS = {
    "lambada": ("lambada-rationales", "data/longra/annotated_lambada.jsonl", "plain"),
    "sst": ("fair-rationales/sst", "data/rationales/fair-rationales", "few-shot"),
    "dynasent": ("fair-rationales/dynasent", "data/rationales/fair-rationales", "few-shot"),
    "expmrc": ("expmrc", "data/rationales/expmrc/expmrc-squad-dev.json", "few-shot"),
}
# Shown beside the real models, and chooses nothing.
STORIES = "models/stories260K"


@dataclass(frozen=True)
class Form:
    """One way of putting word scores together."""

    gate: str
    mix: str
    aggregation: Aggregation

    @property
    def is_heat(self) -> bool:
        """Whether it has a gate, curvature and information."""
        return self.gate != "none" and self.mix in ("sum", "geometric")

    def __str__(self) -> str:
        return f"{self.gate}, {self.mix}, {self.aggregation}"


@dataclass(frozen=True, eq=False)
class Cell:
    """One model on one set: AUPRC of every form on every text.

    Attributes:
        name: Of the set and the model.
        chooses: Which texts are of the choosing half; all other texts report.
        texts: Checksum of each text.
        values: Form to one AUPRC a text.
        toy: Whether it has no say in the choice.
    """

    name: str
    chooses: NDArray[np.bool_]
    texts: Sequence[str]
    values: Mapping[Form, Values]
    toy: bool


def forms() -> list[Form]:
    """Every gate with every mix and aggregation; no gate has nothing alone."""
    every = itertools.product(GATES, MIXES, AGGREGATIONS)
    return [Form(*each) for each in every if each[:2] != ("none", "gate alone")]


def token_scores(parts: Mapping[str, Any], gate: Any, mix: str) -> Any:
    """Scores of one form, [targets, tokens], from HEAT's stored parts and a gate of the same text."""
    s, i = (parts[name].double() for name in ("curvature", "information"))
    s, i = (part / part.sum(-1, keepdim=True).clamp_min(1e-300) for part in (s, i))
    mixed = {
        "sum": (s + i) / 2,
        "geometric": (s * i).sqrt(),
        "curvature": s,
        "information": i,
        "gate alone": s * 0 + 1,
    }[mix]
    return gate.double() * mixed


def gates_of(lm: LanguageModel, own: Attribution, folder: Path, key: str) -> Iterator[tuple[str, Any]]:
    """The gates of a text; those that HEAT did not compute itself are kept beside its attribution."""
    import torch

    import heat
    from heat.encoding import Encoded

    folder.mkdir(exist_ok=True)
    for name, options in GATES.items():
        if options == {"residual": "full"}:
            yield name, own.components["transition"]
        elif options == {"transition": "uniform"}:
            yield name, torch.ones_like(own.components["transition"])
        else:
            path = folder / f"{key}.{name}.safetensors"
            if not path.exists():
                encoded = Encoded(own.token_ids, own.target_span[0], own.text, own.offsets, own.foil_ids)
                heat.attribute(lm, encoded, None, "transition-only", **options).save(path)
            yield name, heat.Attribution.load(path).components["transition"]


def auprcs(
    lm: LanguageModel, example: Example, own: Attribution, folder: Path, key: str
) -> dict[Form, float]:
    """AUPRC of every form on one text."""
    from evaluate.alignment.run import masks
    from evaluate.metrics.alignment import auprc
    from heat.projection import word_scores

    gold, distractor = masks(example)
    found = {}
    for gate, transition in gates_of(lm, own, folder, key):
        for form in forms():
            if form.gate != gate:
                continue
            scores = token_scores(own.components, transition, form.mix).numpy()
            by_word = word_scores(scores, own.text, example.words, own.offsets or (), form.aggregation)
            found[form] = auprc(by_word.mean(axis=0), gold, distractor)
    return found


def cell(name: str, lm: LanguageModel, task: Any, out: Path, prompt: str, *, toy: bool = False) -> Cell:
    """Compute, or read, one model on one set."""
    import heat
    from evaluate.alignment.run import alignment
    from evaluate.pipeline.records import read_examples
    from evaluate.pipeline.run import RunConfig
    from evaluate.pipeline.runner import default_config
    from evaluate.pipeline.store import attribution_key, attribution_path
    from evaluate.tasks.asking import put

    folder = out / name
    result = alignment(put(task, lm, prompt), lm, ["heat"], RunConfig(folder, name="defaults"))
    rows: list[dict[Form, float]] = []
    kept: list[Example] = []
    for example in read_examples(folder, result):
        key = attribution_key(example, result.settings, "heat", default_config("heat"))
        own = heat.Attribution.load(attribution_path(folder, key))
        rows.append(auprcs(lm, example, own, folder / "gates", key))
        kept.append(example)
    texts = [example.text_key for example in kept]
    return Cell(
        name=name,
        chooses=np.array([int(text[-1], 16) % 2 == 0 for text in texts]),
        texts=texts,
        values={form: np.array([row[form] for row in rows]) for form in forms()},
        toy=toy,
    )


def mean_over_cells(cells: Sequence[Cell], form: Form, *, choosing: bool) -> float:
    """Mean over cells of the mean over one half's texts."""
    halves = [each.values[form][each.chooses == choosing] for each in cells]
    return float(np.mean([np.nanmean(half) for half in halves]))


def show(cells: Sequence[Cell], seed: int) -> None:
    """Print the choice, what it is worth on the texts that did not choose it, and all forms, as Markdown."""
    from evaluate.statistics.intervals import mean_interval

    real = [each for each in cells if not each.toy]
    order = sorted(forms(), key=lambda form: -mean_over_cells(real, form, choosing=True))
    heats = [form for form in order if form.is_heat]
    best, printed = heats[0], next(form for form in heats if form.mix == "sum")

    def interval(values: Values, texts: Sequence[str]) -> str:
        found = mean_interval(values, texts, seed=seed)
        return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"

    def half(each: Cell, form: Form, *, choosing: bool) -> tuple[Values, list[str]]:
        at = each.chooses == choosing
        return each.values[form][at], [text for text, kept in zip(each.texts, at, strict=True) if kept]

    def pooled(one: Form, other: Form, *, choosing: bool) -> tuple[Values, list[str]]:
        pairs = [
            half(each, one, choosing=choosing)[0] - half(each, other, choosing=choosing)[0] for each in real
        ]
        return np.concatenate(pairs), [
            text for each in real for text in half(each, one, choosing=choosing)[1]
        ]

    first = best
    if best != printed:
        values, texts = pooled(best, printed, choosing=True)
        shown = mean_interval(values, texts, seed=seed)
        assert shown.low is not None
        first = best if shown.low > 0 else printed
        print(
            f"Best on the choosing halves: {best}, by {interval(values, texts)} over the printed formula ({printed})."
        )
    second = next(form for form in heats if form != first)
    reporting = partial(half, choosing=False)
    print(f"Choice (gate, mix, aggregation): **{first}**; runner-up: {second}.\n")
    print("| reporting half | texts | the choice | runner-up | difference |\n|---|---|---|---|---|")
    for each in cells:
        (own, texts), (other, _) = reporting(each, first), reporting(each, second)
        name = f"{each.name} (toy: chooses nothing)" if each.toy else each.name
        cells_of = " | ".join(interval(values, texts) for values in (own, other, own - other))
        print(f"| {name} | {len(texts)} | {cells_of} |")
    values, texts = pooled(first, second, choosing=False)
    print(f"| all real | {len(texts)} | | | {interval(values, texts)} |\n")
    for aggregation in AGGREGATIONS:
        if aggregation != first.aggregation:
            other = replace(first, aggregation=aggregation)
            apart = [interval(*pooled(first, other, choosing=choosing)) for choosing in (True, False)]
            print(f"The choice less {other}: choosing halves {apart[0]}, reporting halves {apart[1]}.\n")

    names = [each.name for each in cells]
    print("| gate | mix | aggregation | choosing, real | " + " | ".join(names) + " |")
    print("|---|---|---|---|" + "---|" * len(names))
    for form in order:
        means = [f"{np.nanmean(reporting(each, form)[0]):.3f}" for each in cells]
        row = [
            form.gate,
            form.mix,
            form.aggregation,
            f"{mean_over_cells(real, form, choosing=True):.3f}",
            *means,
        ]
        print("| " + " | ".join(f"**{value}**" if form == first else value for value in row) + " |")
    print("\nColumns behind the fourth: mean AUPRC on the reporting half.")


def main(
    shared: Annotated[Path, typer.Option(help="Folder with the sets of people's marks.")],
    model: Annotated[list[str], typer.Option(help="Model folder or hub name; repeat for several.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="lambada, sst, dynasent, expmrc, or MODEL:SET.")
    ] = None,
    limit: Annotated[int, typer.Option(min=2, help="The first N texts of a set.")] = 100,
    toys: Annotated[bool, typer.Option(help="Show the embedded reader and stories260K too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of results folders.")] = Path("defaults"),
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
) -> None:
    """Print which gate, mix and aggregation people's marks choose, and what the choice is worth on other texts."""
    import heat
    from evaluate.tasks.catalog import load_task

    def rows(name: str) -> Any:
        benchmark, source, _ = SETS[name]
        return load_task(benchmark, source=str(shared / source), limit=limit)

    cells = []
    for path in model:
        lm, short = heat.load(path), Path(path).name
        chosen = [name for name in SETS if sets is None or name in sets or f"{short}:{name}" in sets]
        cells += [cell(f"{name}-{short}", lm, rows(name), out, SETS[name][2]) for name in chosen]
    if toys:
        lm = heat.load(shared / STORIES)
        cells.append(cell("lambada-stories260K", lm, rows("lambada"), out, "plain", toy=True))
        sample = load_task("curated", gold="evidence", limit=limit)
        cells.append(cell("sample-reader", heat.load(None), sample, out, "plain", toy=True))
    show(cells, seed)


if __name__ == "__main__":
    typer.run(main)
