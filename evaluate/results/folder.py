"""A results folder read back: what each command left in it, and every value of every example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from annotate.files import read_records
from annotate.schema import Record
from evaluate.ablation import Ablation
from evaluate.errors import EvaluateError, ReportError
from evaluate.pipeline.records import Evaluation, read_examples, read_result
from evaluate.pipeline.store import Score
from evaluate.sanity import SanityChecks
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("alignment", "faithfulness")
PROBES = ("robustness-noise", "robustness-edits", "robustness-paraphrase", "robustness-decoding")

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Results:
    """What lies in a results folder; ``None`` where a command has not been run.

    Attributes:
        folder: The folder.
        alignment: Of `evaluate alignment`.
        faithfulness: Of `evaluate faithfulness`.
        ablation: Of `evaluate ablation`.
        sanity: Of `evaluate sanity --out`.
        robustness: Of `evaluate robustness`, a result a probe that was run.
    """

    folder: Path
    alignment: Evaluation | None
    faithfulness: Evaluation | None
    ablation: Ablation | None
    sanity: SanityChecks | None
    robustness: tuple[Evaluation, ...]

    @property
    def main(self) -> Evaluation:
        """The alignment, or the faithfulness where there is no alignment."""
        evaluation = self.alignment or self.faithfulness
        assert evaluation is not None  # `open_results` refuses such a folder
        return evaluation


def open_results(folder: Path) -> Results:
    """Read what a results folder holds.

    Args:
        folder: The folder given as ``--out``.

    Returns:
        All finished results in it.

    Raises:
        EvaluateError: There is none, or a file is not of this version.
    """
    evaluations = {kind: read_result(folder, kind) for kind in KINDS if (folder / f"{kind}.json").is_file()}
    if folder.is_file():
        raise EvaluateError(f"{folder} is a file, and results are a folder; name the one given as --out")
    if not evaluations:
        raise EvaluateError(
            f"{folder} holds no alignment.json and no faithfulness.json; run `evaluate alignment --out {folder}` first"
        )
    return Results(
        folder=folder,
        alignment=evaluations.get("alignment"),
        faithfulness=evaluations.get("faithfulness"),
        ablation=_read(folder / "ablation.json", Ablation),
        sanity=_read(folder / "sanity.json", SanityChecks),
        robustness=tuple(
            read_result(folder, probe) for probe in PROBES if (folder / f"{probe}.json").is_file()
        ),
    )


def _read(path: Path, record: type[R]) -> R | None:
    if not path.is_file():
        return None
    try:
        return record.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise EvaluateError(
            f"{path} is not a result of this version; run `evaluate {path.stem}` again"
        ) from error


def score_rows(folder: Path, result: Evaluation) -> dict[str, list[Score]]:
    """The rows that the figures of a result are means of.

    Args:
        folder: The results folder.
        result: One of the results in it.

    Returns:
        Method to one row an example, in the order of the examples.

    Raises:
        ReportError: The folder lacks a row.
    """
    path = folder / "scores.jsonl"
    stored = {row.key: row for row in read_records(path, Score)} if path.exists() else {}
    scores: dict[str, list[Score]] = {}
    for row in result.methods:
        lost = sum(key not in stored for key in row.scores)
        if lost:
            raise ReportError(f"{folder} lacks {lost} {row.method} scores; run again: {result.command}")
        scores[row.method] = [stored[key] for key in row.scores]
    return scores


def read_scores(folder: Path, kind: str = "alignment") -> pd.DataFrame:
    """Every value that a result is a mean of.

    Args:
        folder: The results folder.
        kind: ``"alignment"`` or ``"faithfulness"``.

    Returns:
        A row a method and example: ``method``, ``example_id``, ``text`` (rows with the same one are not independent),
            ``status``, and a column a metric; ``nan`` where it is not defined.

    Raises:
        ReportError: The folder lacks a row.
        EvaluateError: There is no such result.
    """
    result = read_result(folder, kind)
    return scores_frame(result, read_examples(folder, result), score_rows(folder, result))


def scores_frame(
    result: Evaluation, examples: Sequence[Example], rows: Mapping[str, Sequence[Score]]
) -> pd.DataFrame:
    """What `read_scores` returns, of rows that have been read."""
    import pandas as pd

    names = list(result.methods[0].metrics)
    texts = [example.text_key for example in examples]
    frame = pd.DataFrame(
        [
            {
                "method": method,
                "example_id": row.example_id,
                "text": text,
                "status": row.status,
                **{name: row.values.get(name) for name in names},
            }
            for method, scores in rows.items()
            for row, text in zip(scores, texts, strict=True)
        ]
    )
    return frame.astype(dict.fromkeys(names, float))
