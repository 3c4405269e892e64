"""Which form of HEAT is the default: every gate, formula and aggregation on texts that people marked, by real models.

    python benchmarks/defaults.py --shared ../shared --model models/smollm2 --model models/gemma3 --out defaults

Texts are split once, by their checksum, into a half that chooses and a half that reports. Best is the form of HEAT (a
gate times something else) with the best mean AUPRC over the real models' choosing halves, each set and model counting
the same. Today's default gives way to it only where the choosing halves show a difference (95 % interval of the paired
difference above 0). The reporting halves say what the choice is worth, and how far it is from today's default and from
the runner-up, text by text. The embedded reader and stories260K are shown and choose nothing. Parts are computed once a
text, in results folders that `evaluate alignment` shares (`OUT/SET-MODEL`); all forms are read off them, and a run that
is interrupted resumes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.tasks.task import Example
    from heat import Attribution, LanguageModel
    from heat.projection import Aggregation

    Values = NDArray[np.float64]

# M of what HEAT computes itself, and others that `transition-only` gives.
GATES: dict[str, dict[str, Any]] = {
    "full": {"residual": "full"},
    "without-self": {"residual": "without-self"},
    "half": {"residual": "half"},
    "relevance": {"residual": "relevance"},
    "value": {"transition": "value"},
    "alti": {"transition": "alti"},
    "ifr": {"transition": "ifr"},
    "alti-logit": {"transition": "alti-logit"},
    "attn-lrp": {"transition": "attn-lrp"},
}
NO_GATE = "-"

# Of the shares m, s, i, f and g: gate, curvature, information, Fisher information, gradient norm.
FORMULAS: dict[str, Callable[..., Any]] = {
    "M (S + I)": lambda m, s, i, f, g: m * (s + i) / 2,
    "M √(S I)": lambda m, s, i, f, g: m * (s * i).sqrt(),
    "√M (S + I)": lambda m, s, i, f, g: m.sqrt() * (s + i) / 2,
    "M (F + I)": lambda m, s, i, f, g: m * (f + i) / 2,
    "M √(F I)": lambda m, s, i, f, g: m * (f * i).sqrt(),
    "M (G + I)": lambda m, s, i, f, g: m * (g + i) / 2,
    "M √(G I)": lambda m, s, i, f, g: m * (g * i).sqrt(),
    "(M G S I)^¼": lambda m, s, i, f, g: (m * g).sqrt().sqrt() * (s * i).sqrt().sqrt(),
    "√(M G)": lambda m, s, i, f, g: (m * g).sqrt(),
    "M G": lambda m, s, i, f, g: m * g,
    "√(M F)": lambda m, s, i, f, g: (m * f).sqrt(),
    "M F": lambda m, s, i, f, g: m * f,
    "M S": lambda m, s, i, f, g: m * s,
    "M I": lambda m, s, i, f, g: m * i,
}
ALONE: dict[str, Callable[..., Any]] = {
    "M": lambda m, s, i, f, g: m,
    "S + I": lambda m, s, i, f, g: (s + i) / 2,
    "√(S I)": lambda m, s, i, f, g: (s * i).sqrt(),
    "S": lambda m, s, i, f, g: s,
    "I": lambda m, s, i, f, g: i,
    "F": lambda m, s, i, f, g: f,
    "G": lambda m, s, i, f, g: g,
}
AGGREGATIONS: tuple[Aggregation, ...] = ("mean", "sum", "max")

# Benchmark, its rows below --shared, and the prompt. Sets of people's marks alone.
SETS = {
    "lambada": ("lambada-rationales", "data/longra/annotated_lambada.jsonl", "plain"),
    "sst": ("fair-rationales/sst", "data/rationales/fair-rationales", "few-shot"),
    "dynasent": ("fair-rationales/dynasent", "data/rationales/fair-rationales", "few-shot"),
    "expmrc": ("expmrc", "data/rationales/expmrc/expmrc-squad-dev.json", "few-shot"),
}
# Is the Hessian worth its price? Each with and without it.
PAIRS = (
    ("M (S + I)", "M (G + I)"),
    ("M (S + I)", "M (F + I)"),
    ("M (S + I)", "√(M G)"),
    ("M (S + I)", "M F"),
    ("M (S + I)", "M I"),
    ("M (S + I)", "S + I"),
    ("S", "G"),
    ("S", "F"),
)
# Shown beside the real models, and chooses nothing.
STORIES = "models/stories260K"


@dataclass(frozen=True)
class Form:
    """One way of putting word scores together."""

    gate: str
    formula: str
    aggregation: Aggregation

    @property
    def is_heat(self) -> bool:
        """Whether it is a gate times something else."""
        return self.formula in FORMULAS

    def __str__(self) -> str:
        return f"{self.formula}, {self.aggregation}" + ("" if self.gate == NO_GATE else f", gate {self.gate}")


TODAY = Form("full", "M (S + I)", "mean")


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


def forms(gates: Sequence[str]) -> list[Form]:
    """Every gate with every formula and aggregation, and the parts by themselves."""
    gated = itertools.product(gates, [*FORMULAS, "M"], AGGREGATIONS)
    ungated = itertools.product([NO_GATE], [name for name in ALONE if name != "M"], AGGREGATIONS)
    return [Form(*form) for form in (*gated, *ungated)]


def shares_of(part: Any) -> Any:
    """A part divided by its sum over the context, in float64."""
    part = part.double()
    return part / part.sum(-1, keepdim=True).clamp_min(1e-300)


def gates_of(
    lm: LanguageModel, text: Attribution, folder: Path, key: str, gates: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """The gates of a text; those that HEAT did not compute itself are kept beside its attribution."""
    import torch

    import heat
    from heat.encoding import Encoded

    folder.mkdir(exist_ok=True)
    yield NO_GATE, torch.ones_like(text.components["transition"])
    for name in gates:
        options = GATES[name]
        if options == {"residual": "full"}:
            yield name, text.components["transition"]
            continue
        path = folder / f"{key}.{name}.safetensors"
        if not path.exists():
            encoded = Encoded(text.token_ids, text.target_span[0], text.text, text.offsets, text.foil_ids)
            heat.attribute(lm, encoded, None, "transition-only", **options).save(path)
        yield name, heat.Attribution.load(path).components["transition"]


def auprcs(
    lm: LanguageModel,
    example: Example,
    parts: Mapping[str, Attribution],
    folder: Path,
    key: str,
    gates: Sequence[str],
) -> dict[Form, float]:
    """AUPRC of every form on one text.

    Args:
        lm: The model.
        example: The text with its gold words.
        parts: Attributions of `heat`, `heat-first-order` and `fisher`.
        folder: Where gates are kept.
        key: The text's name there.
        gates: Names in `GATES`.
    """
    from evaluate.alignment.run import masks
    from evaluate.metrics.alignment import auprc
    from heat.projection import word_scores

    gold, distractor = masks(example)
    text = parts["heat"]
    s, i = (shares_of(text.components[name]) for name in ("curvature", "information"))
    f = shares_of(parts["fisher"].components["fisher"])
    g = shares_of(parts["heat-first-order"].components["gradient"])
    values = {}
    for gate, transition in gates_of(lm, text, folder, key, gates):
        m = shares_of(transition)
        for form in forms(gates):
            if form.gate != gate:
                continue
            scores = {**FORMULAS, **ALONE}[form.formula](m, s, i, f, g).numpy()
            by_word = word_scores(scores, text.text, example.words, text.offsets or (), form.aggregation)
            values[form] = auprc(by_word.mean(axis=0), gold, distractor)
    return values


def cell(
    name: str,
    lm: LanguageModel,
    task: Any,
    out: Path,
    prompt: str,
    gates: Sequence[str],
    *,
    toy: bool = False,
) -> Cell:
    """Compute, or read, one model on one set."""
    import heat
    from evaluate.alignment.run import alignment
    from evaluate.pipeline.records import read_examples
    from evaluate.pipeline.run import RunConfig
    from evaluate.pipeline.runner import default_config
    from evaluate.pipeline.store import attribution_key, attribution_path
    from evaluate.tasks.asking import put

    folder = out / name
    methods = ["heat-first-order", "fisher", "heat"]
    result = alignment(put(task, lm, prompt), lm, methods, RunConfig(folder, name="defaults"))
    rows: list[dict[Form, float]] = []
    examples: list[Example] = []
    for example in read_examples(folder, result):
        keys = {
            method: attribution_key(example, result.settings, method, default_config(method))
            for method in methods
        }
        parts = {method: heat.Attribution.load(attribution_path(folder, key)) for method, key in keys.items()}
        rows.append(auprcs(lm, example, parts, folder / "gates", keys["heat"], gates))
        examples.append(example)
    texts = [example.text_key for example in examples]
    return Cell(
        name=name,
        chooses=np.array([int(text[-1], 16) % 2 == 0 for text in texts]),
        texts=texts,
        values={form: np.array([row[form] for row in rows]) for form in forms(gates)},
        toy=toy,
    )


def mean_over_cells(cells: Sequence[Cell], form: Form, *, choosing: bool) -> float:
    """Mean over cells of the mean over one half's texts."""
    halves = [cell.values[form][cell.chooses == choosing] for cell in cells]
    return float(np.mean([np.nanmean(half) for half in halves]))


def half(cell: Cell, form: Form, *, choosing: bool) -> tuple[Values, list[str]]:
    """AUPRC and checksum of each text of one half."""
    inside = cell.chooses == choosing
    return cell.values[form][inside], [text for text, kept in zip(cell.texts, inside, strict=True) if kept]


def differences(cells: Sequence[Cell], one: Form, other: Form, *, choosing: bool) -> tuple[Values, list[str]]:
    """Differences text by text, weighted so that their mean is the mean over cells of each cell's mean."""
    values, texts = [], []
    total = sum(int((cell.chooses == choosing).sum()) for cell in cells)
    for cell in cells:
        difference, names = half(cell, one, choosing=choosing)
        difference = difference - half(cell, other, choosing=choosing)[0]
        values.append(difference * total / (len(cells) * len(difference)))
        texts += names
    return np.concatenate(values), texts


def show(cells: Sequence[Cell], seed: int, rows: int) -> None:
    """Print the choice, what it is worth on the texts that did not choose it, and the best forms, as Markdown.

    Args:
        cells: The models on the sets.
        seed: Seed of the intervals.
        rows: How many forms the last table shows.
    """
    from evaluate.statistics.intervals import mean_interval

    real = [cell for cell in cells if not cell.toy]
    order = sorted(real[0].values, key=lambda form: -mean_over_cells(real, form, choosing=True))
    heats = [form for form in order if form.is_heat]

    def interval(values: Values, texts: Sequence[str]) -> str:
        shown = mean_interval(values, texts, seed=seed)
        return f"{shown.mean:.3f} ({shown.low:.3f} to {shown.high:.3f})"

    best, choice = heats[0], TODAY
    if best != TODAY:
        values, texts = differences(real, best, TODAY, choosing=True)
        low = mean_interval(values, texts, seed=seed).low
        assert low is not None
        choice = best if low > 0 else TODAY
        print(f"Best on the choosing halves: {best}; less today's ({TODAY}): {interval(values, texts)}.")
    second = next(form for form in heats if form != choice)
    rivals = [form for form in dict.fromkeys([TODAY, best, second]) if form != choice]
    print(f"Choice: **{choice}**; beside it {' and '.join(map(str, rivals))}.\n")
    heads = " | ".join(f"less {form}" for form in rivals)
    print(f"| reporting half | texts | the choice | {heads} |\n|---|---|---|{'---|' * len(rivals)}")
    for cell in cells:
        values, texts = half(cell, choice, choosing=False)
        name = f"{cell.name} (toy: chooses nothing)" if cell.toy else cell.name
        apart = [interval(values - half(cell, form, choosing=False)[0], texts) for form in rivals]
        print(f"| {name} | {len(texts)} | {interval(values, texts)} | {' | '.join(apart)} |")
    apart = [interval(*differences(real, choice, form, choosing=False)) for form in rivals]
    print(f"| mean of the real ones | | | {' | '.join(apart)} |\n")

    print(
        "What each part brings: reporting halves, mean over the real models and sets, mean over a word's tokens.\n"
    )
    for one, other in PAIRS:
        first, less = (Form("full" if "M" in name else NO_GATE, name, "mean") for name in (one, other))
        print(f"* {one} less {other}: {interval(*differences(real, first, less, choosing=False))}")
    names = [cell.name for cell in cells]
    print("\n| formula | gate | aggregation | choosing | reporting | " + " | ".join(names) + " |")
    print("|---|---|---|---|---|" + "---|" * len(names))
    for form in [form for form in order if form in order[:rows] or form == TODAY]:
        row = [
            form.formula,
            form.gate,
            form.aggregation,
            f"{mean_over_cells(real, form, choosing=True):.3f}",
            f"{mean_over_cells(real, form, choosing=False):.3f}",
            *(f"{np.nanmean(half(cell, form, choosing=False)[0]):.3f}" for cell in cells),
        ]
        print("| " + " | ".join(f"**{value}**" if form == choice else value for value in row) + " |")
    print("\nMeans over the real models' sets, then the mean AUPRC on each reporting half.")


def chosen_sets(asked: Sequence[str], model: str, limit: int) -> dict[str, int]:
    """Sets for one model, each with its number of texts.

    Raises:
        typer.BadParameter: There is no such set.
    """
    chosen = {}
    for item in asked:
        which, _, n_texts = item.partition("=")
        wanted, _, name = which.rpartition(":")
        if name not in SETS or not (n_texts or "1").isdecimal():
            raise typer.BadParameter(f"'{item}' is no set; give one of {', '.join(SETS)}, MODEL:SET or SET=N")
        if wanted in ("", model):
            chosen[name] = int(n_texts or limit)
    return chosen


def main(
    shared: Annotated[Path, typer.Option(help="Folder with the sets of people's marks.")],
    model: Annotated[list[str], typer.Option(help="Model folder or hub name; repeat for several.")],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="lambada, sst, dynasent, expmrc; MODEL:SET for one model, SET=N for N texts."
        ),
    ] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help=f"A gate to try beside `full`: {', '.join(GATES)}. Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=2, help="The first N texts of a set.")] = 100,
    toys: Annotated[bool, typer.Option(help="Show the embedded reader and stories260K too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of results folders.")] = Path("defaults"),
    rows: Annotated[int, typer.Option(min=1, help="How many forms are shown.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
) -> None:
    """Print which gate, mix and aggregation people's marks choose, and what the choice is worth on other texts."""
    import heat
    from evaluate.tasks.catalog import load_task

    def task_of(name: str, n_texts: int) -> Any:
        benchmark, source, _ = SETS[name]
        return load_task(benchmark, source=str(shared / source), limit=n_texts)

    gates = list(dict.fromkeys(["full", *gate])) if gate else list(GATES)
    cells = []
    for path in model:
        lm, short = heat.load(path), Path(path).name
        for name, n_texts in chosen_sets(sets or list(SETS), short, limit).items():
            cells.append(cell(f"{name}-{short}", lm, task_of(name, n_texts), out, SETS[name][2], gates))
    if toys:
        lm = heat.load(shared / STORIES)
        cells.append(
            cell("lambada-stories260K", lm, task_of("lambada", limit), out, "plain", gates, toy=True)
        )
        sample = load_task("curated", gold="evidence", limit=limit)
        cells.append(cell("sample-reader", heat.load(None), sample, out, "plain", gates, toy=True))
    show(cells, seed, rows)


if __name__ == "__main__":
    typer.run(main)
