"""The public sets that can be read as texts with people's marks, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from annotate.errors import RowsError
from annotate.rationales import expmrc, fair_rationales
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
        pattern: Which files of a folder are read.
        read: Reads a file.
        licence: The terms of its texts and marks.
    """

    name: str
    pattern: str
    read: Callable[[Path], MarkedTexts]
    licence: Licence

    def files(self, path: Path) -> list[Path]:
        """The files to read: the one named, or those of the folder named, sorted.

        Raises:
            RowsError: There is none.
        """
        if not path.exists():
            raise RowsError(f"there is no file or folder {path}")
        if path.is_file():
            return [path]
        files = sorted(path.glob(self.pattern))
        if not files:
            raise RowsError(f"{path} holds no {self.pattern}, which {self.name} is read from; name the file")
        return files


def _row_by_row(
    name: str, rows_of: Callable[[Path], Rows], make: Callable[[Row], MarkedText], schema: str
) -> Callable[[Path], MarkedTexts]:
    def read(path: Path) -> MarkedTexts:
        return convert(name, rows_of(path), make, schema)

    return read


SETS = {
    each.name: each
    for each in (
        MarkedSet(
            expmrc.NAME,
            "*.json",
            _row_by_row(expmrc.NAME, expmrc.squad_rows, expmrc.marked_question, expmrc.SCHEMA),
            Licence("ExpMRC", "cc-by-sa-4.0", "Cui et al. 2022; texts and questions of SQuAD."),
        ),
        MarkedSet(
            fair_rationales.NAME,
            "*.csv",
            lambda path: fair_rationales.marked_texts(file_rows(path)),
            Licence("FairRationales", "mit", "Thorn Jakobsen et al. 2023; texts of SST, DynaSent and CoS-E."),
        ),
    )
}
