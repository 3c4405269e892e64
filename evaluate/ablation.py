"""HEAT and what is left of it without a part: the poster's six rows, three metrics each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from annotate.files import write_atomic
from annotate.schema import Record
from evaluate.alignment.run import alignment
from evaluate.faithfulness.options import Options
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.pipeline.table import in_words
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from evaluate.engine import Engine
    from heat import LanguageModel

# In the poster's order (section 6).
ROWS = {
    "heat": "full HEAT",
    "transition-only": "transition only",
    "hessian-only": "Hessian only",
    "kl-only": "KL only",
    "no-gate": "no transition gating",
    "uniform-transition": "uniform transition",
}
COLUMNS = {"soft_nc": "Soft-NC", "soft_ns": "Soft-NS", "dsa": "DSA"}


class Ablation(Record):
    """The six rows.

    Attributes:
        command: How it was called.
        rows: Method to metric to mean and interval.
        soft: Log-ratios to random scores of the two soft metrics, by method.
    """

    command: str
    rows: dict[str, dict[str, Interval]]
    log_ratios: dict[str, dict[str, Interval]]

    @property
    def frame(self) -> pd.DataFrame:
        """A row a method: mean, low and high of each column, and of the log-ratios."""
        import pandas as pd

        rows = []
        for method, cells in self.rows.items():
            named = cells | {
                f"{name}_log_ratio": interval for name, interval in self.log_ratios[method].items()
            }
            flat: dict[str, object] = {"method": method, "row": ROWS[method]}
            for name, interval in named.items():
                flat |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append(flat)
        return pd.DataFrame(rows)


def ablation(
    task: Task,
    lm: LanguageModel | Engine,
    run: RunConfig,
    *,
    options: Options | None = None,
    on_progress: Progress = no_progress,
) -> tuple[Ablation, Evaluation, Evaluation]:
    """Score the six rows for faithfulness and alignment; see `evaluate` for the arguments.

    Returns:
        The table, and the two evaluations it is taken from. It is also in the folder, as ``ablation.json`` and
        ``ablation.csv``, beside ``ablation-alignment`` and ``ablation-faithfulness``.

    Raises:
        NothingScoredError: No example has gold, which DSA needs.
    """
    methods = [*ROWS, "random"]
    aligned = alignment(task, lm, methods, replace(run, name="ablation-alignment"), on_progress=on_progress)
    faithful = faithfulness(
        task,
        lm,
        methods,
        replace(run, name="ablation-faithfulness"),
        options=options,
        on_progress=on_progress,
    )
    dsa = {row.method: row.metrics["dsa"] for row in aligned.methods}
    soft = {row.method: row for row in faithful.methods}
    result = Ablation(
        command=run.command,
        rows={
            name: {
                "soft_nc": soft[name].metrics["soft_nc"],
                "soft_ns": soft[name].metrics["soft_ns"],
                "dsa": dsa[name],
            }
            for name in ROWS
        },
        log_ratios={
            name: {metric: soft[name].ratios[metric] for metric in ("soft_nc", "soft_ns")} for name in ROWS
        },
    )
    write_atomic(run.out / "ablation.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(run.out / "ablation.csv", result.frame.to_csv(index=False))
    return result, aligned, faithful


def ablation_table(result: Ablation) -> Table:
    """The six rows for people at a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("", *COLUMNS.values(), "log-ratio NC", "log-ratio NS"):
        table.add_column(column)
    for method, cells in result.rows.items():
        ratios = result.log_ratios[method]
        table.add_row(
            ROWS[method],
            *(in_words(cells[name]) for name in COLUMNS),
            *(in_words(ratios[name]) for name in ("soft_nc", "soft_ns")),
        )
    return table
