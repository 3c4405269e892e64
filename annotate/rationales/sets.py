"""The public sets that can be read as texts with people's marks, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from annotate.errors import RowsError, UnknownNameError
from annotate.rationales import eraser, expmrc, fair_rationales, onestopqa, qed
from annotate.rationales.marked import MarkedText
from annotate.rationales.rows import Row, Rows, convert, file_rows
from annotate.sources.base import Licence

MarkedTexts = tuple[tuple[MarkedText, ...], dict[str, tuple[str, ...]]]
"""Texts with their marks, and the places of what was left out, by reason."""


@dataclass(frozen=True)
class MarkedSet:
    """A public set of texts that people marked.

    Attributes:
        name: Its name.
        patterns: Which files of a folder are read.
        read: Reads a file; given the subset that is wanted, or nothing.
        licence: The terms of its texts and marks.
        subsets: What may stand after a slash behind its name, with the files of a folder that hold it, as a pattern; an
            empty pattern where every file holds all of them.
        part: What the ids of a file's texts begin with.
    """

    name: str
    patterns: tuple[str, ...]
    read: Callable[[Path, str], MarkedTexts]
    licence: Licence
    subsets: Mapping[str, str] = field(default_factory=dict)
    part: Callable[[Path], str] = lambda path: path.stem

    def files(self, path: Path, subset: str = "") -> list[Path]:
        """The files to read: the one named, or those of the folder named, sorted.

        Raises:
            RowsError: There is none.
        """
        if not path.exists():
            raise RowsError(f"there is no file or folder {path}")
        if path.is_file():
            return [path]
        pattern = self.subsets.get(subset, "")
        patterns = (pattern,) if pattern else self.patterns
        files = sorted({file for each in patterns for file in path.glob(each)})
        if not files and pattern:  # the folder of the subset itself
            files = [file for file in sorted(path.parent.glob(pattern)) if file.parent == path]
        if not files:
            name = f"{self.name}/{subset}" if subset else self.name
            raise RowsError(
                f"{path} holds no {' or '.join(patterns)}, which {name} is read from; name the file"
            )
        return files


def marked_set(name: str) -> tuple[MarkedSet, str]:
    """The set that ``NAME`` or ``NAME/SUBSET`` names, and the subset; empty for none.

    Raises:
        UnknownNameError: There is no such set, or it has no such subset.
    """
    which, slash, subset = name.partition("/")
    if which not in SETS:
        raise UnknownNameError("set of marked texts", which, list(SETS))
    if slash and subset not in SETS[which].subsets:
        raise UnknownNameError(f"subset of {which}", subset, list(SETS[which].subsets))
    return SETS[which], subset


def _row_by_row(
    name: str, rows_of: Callable[[Path, str], Rows], make: Callable[[Row, str], MarkedText], schema: str
) -> Callable[[Path, str], MarkedTexts]:
    def read(path: Path, subset: str) -> MarkedTexts:
        return convert(name, rows_of(path, subset), lambda row: make(row, subset), schema)

    return read


SETS = {
    each.name: each
    for each in (
        MarkedSet(
            eraser.NAME,
            ("val.jsonl", "*/val.jsonl"),
            _row_by_row(
                eraser.NAME,
                lambda path, subset: eraser.document_rows(path),
                eraser.marked_document,
                eraser.SCHEMA,
            ),
            Licence(
                "ERASER", "other", "DeYoung et al. 2020; research use, FEVER's and BoolQ's text CC BY-SA 3.0."
            ),
            subsets={name: f"{name}/val.jsonl" for name in eraser.SUBSETS},
            part=lambda path: path.resolve().parent.name,
        ),
        MarkedSet(
            expmrc.NAME,
            ("*.json",),
            _row_by_row(
                expmrc.NAME,
                lambda path, subset: expmrc.squad_rows(path),
                lambda row, subset: expmrc.marked_question(row),
                expmrc.SCHEMA,
            ),
            Licence("ExpMRC", "cc-by-sa-4.0", "Cui et al. 2022; texts and questions of SQuAD."),
        ),
        MarkedSet(
            fair_rationales.NAME,
            ("*.csv",),
            lambda path, subset: fair_rationales.marked_texts(file_rows(path), lambda text: text),
            Licence("FairRationales", "mit", "Thorn Jakobsen et al. 2023; texts of SST, DynaSent and CoS-E."),
            subsets={name: f"{name}.csv" for name in fair_rationales.SUBSETS},
        ),
        MarkedSet(
            onestopqa.NAME,
            ("*.json",),
            _row_by_row(
                onestopqa.NAME,
                lambda path, subset: onestopqa.at_level(onestopqa.question_rows(path), subset),
                lambda row, subset: onestopqa.marked_paragraph(row),
                onestopqa.SCHEMA,
            ),
            Licence("OneStopQA", "cc-by-sa-4.0", "Berzak et al. 2020; texts of OneStopEnglish."),
            subsets=dict.fromkeys(onestopqa.LEVELS, ""),
        ),
        MarkedSet(
            qed.NAME,
            ("*.jsonl",),
            _row_by_row(
                qed.NAME,
                lambda path, subset: file_rows(path),
                lambda row, subset: qed.marked_explanation(row),
                qed.SCHEMA,
            ),
            Licence("QED", "other", "Lamm et al. 2021; text of Wikipedia CC BY-SA 3.0, annotation unstated."),
        ),
    )
}
