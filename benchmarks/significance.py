"""What the statistics of a table are worth: false marks, power, and coverage, by simulation.

    python benchmarks/significance.py null        # tables of methods that do not differ
    python benchmarks/significance.py power       # known differences of .03 and .05
    python benchmarks/significance.py coverage    # 95 % intervals of means of few texts

A value is a mean of the method, an effect of the text that all methods share (sd .25), and a rest of method and text
(sd .12). On the paragraphs that ship, AUPRC of nine methods has a rest of sd .10, and the differences of two methods
one of .07 to .20, .15 in the middle; here it is .17. The effect of the text cancels in every difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

TEXT, REST = 0.25, 0.12
Values = NDArray[np.float64]

app = typer.Typer(add_completion=False, help="Simulate the statistics of a table.")
Tables = Annotated[int, typer.Option("--tables", help="Simulated tables in each cell.")]


def table(means: Values, n_texts: int, generator: np.random.Generator) -> dict[str, Values]:
    """Values of methods with these means; the first is called `heat`, the others are baselines."""
    text = generator.normal(0.0, TEXT, (n_texts, 1))
    values = means + text + generator.normal(0.0, REST, (n_texts, len(means)))
    return {("heat" if i == 0 else f"baseline-{i}"): column for i, column in enumerate(values.T)}


def best_baseline(values: dict[str, Values]) -> str:
    """The baseline with the best mean on these texts."""
    return max((name for name in values if name != "heat"), key=lambda name: float(values[name].mean()))


def share(hits: int, of: int) -> str:
    """A share with its exact 95 % binomial interval."""
    from scipy.stats import binomtest

    ends = binomtest(hits, of).proportion_ci()
    return f"{hits / of:.3f} [{ends.low:.3f}, {ends.high:.3f}]"


@app.command()
def null(tables: Tables = 1000) -> None:
    """Share of tables that claim a difference where there is none; promised: at most .05."""
    from evaluate.statistics.comparison import compare_all

    print(
        "| methods | texts | tables | any mark | any place apart | HEAT's interval to the best leaves out 0 |"
    )
    print("|---|---|---|---|---|---|")
    for n_methods, n_texts, wanted in (
        (10, 10, 6 * tables),
        (10, 20, tables),
        (10, 70, tables),
        (26, 70, tables // 2),
        (40, 70, tables // 5),
    ):
        marks = places = excluded = 0
        for seed in range(wanted):
            values = table(np.full(n_methods, 0.4), n_texts, np.random.default_rng(seed))
            pairs = compare_all(values, range(n_texts), seed=seed)
            against = pairs.against(best_baseline(values))
            marks += any(difference.p_adjusted < 0.05 for difference in against.values())
            places += len(set(pairs.places(higher_is_better=True).values())) > 1
            interval = against["heat"].difference
            excluded += interval.low is not None and not interval.low <= 0 <= (interval.high or 0)
        cells = [
            str(n_methods),
            str(n_texts),
            str(wanted),
            *(share(n, wanted) for n in (marks, places, excluded)),
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def _above_one(means: Values, difference: float) -> None:
    """HEAT above one baseline, all others .1 behind that."""
    means[0] += difference
    means[2:] -= 0.1


def _above_all(means: Values, difference: float) -> None:
    """HEAT above baselines that are all equal."""
    means[0] += difference


def _below_all(means: Values, difference: float) -> None:
    """HEAT below baselines that are all equal."""
    means[0] -= difference


SETUPS: dict[str, Callable[[Values, float], None]] = {
    "above one, the others .1 behind it": _above_one,
    "above all, which are equal": _above_all,
    "below all, which are equal": _below_all,
}


@app.command()
def power(tables: Tables = 300) -> None:
    """Share of tables in which HEAT gets the right mark, for a known difference to the best baseline."""
    from evaluate.statistics.comparison import compare_all

    cases = [(n_texts, difference) for n_texts in (70, 200) for difference in (0.03, 0.05)]
    print("| methods | HEAT is | " + " | ".join(f"{d:.2f}, {n} texts" for n, d in cases) + " |")
    print("|---|---|" + "---|" * len(cases))
    for n_methods, wanted in ((10, tables), (40, tables // 3)):
        for name, setup in SETUPS.items():
            cells = []
            for n_texts, difference in cases:
                means = np.full(n_methods, 0.4)
                setup(means, difference)
                hits = 0
                for seed in range(wanted):
                    values = table(means, n_texts, np.random.default_rng(seed))
                    versus = compare_all(values, range(n_texts), seed=seed).against(best_baseline(values))[
                        "heat"
                    ]
                    right = ((versus.difference.mean or 0.0) > 0) == (means[0] > 0.4)
                    hits += right and versus.p_adjusted < 0.05
                cells.append(f"{hits / wanted:.2f}")
            print(f"| {n_methods} | {name} | " + " | ".join(cells) + " |", flush=True)


@app.command()
def coverage(tables: Tables = 1000) -> None:
    """Share of 95 % intervals of a mean that hold it, for values of a beta distribution of this mean and of a + b."""
    from scipy.stats import bootstrap

    from evaluate.statistics.intervals import mean_interval

    print("| texts | mean | a + b | BCa as it is | its width | widened (used) | its width |")
    print("|---|---|---|---|---|---|---|")
    for n_texts in (5, 10, 20, 70):
        for mean, size in ((0.1, 4.0), (0.3, 4.0), (0.5, 4.0)):
            hits, widths = [0, 0], [0.0, 0.0]
            for seed in range(tables):
                generator = np.random.default_rng(seed)
                values = generator.beta(mean * size, (1 - mean) * size, n_texts)
                result = bootstrap((values,), np.mean, n_resamples=2000, rng=np.random.default_rng(seed))
                plain = result.confidence_interval
                used = mean_interval(values, range(n_texts), seed=seed)
                assert used.low is not None
                assert used.high is not None
                for kind, (low, high) in enumerate(((plain.low, plain.high), (used.low, used.high))):
                    hits[kind] += bool(low <= mean <= high)
                    widths[kind] += float(high - low) / tables
            cells = [f"{n_texts}", f"{mean}", f"{size:g}"]
            for kind in (0, 1):
                cells += [share(hits[kind], tables), f"{widths[kind]:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    app()
