"""Counts a paragraph: what all figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias, get_args

import numpy as np

from annotate.agreement.coefficients import Counts
from annotate.schema import Label, Paragraph, Role
from annotate.words import is_content

ROLES: tuple[Role, ...] = get_args(Role)
CELLS = 4
"""Columns of one two-by-two table: n11 (both mark), n10 (first only), n01 (second only), n00 (neither)."""
Marks: TypeAlias = Mapping[str, frozenset[int]]
"""Words marked by paragraph id, of labels that are ``ok``."""
MEANS = slice(CELLS, CELLS + 4)
"""Columns after the table of all words: sum and number of paragraphs' F1, over all of them and over those
where a word is marked. Then follow the tables of the words in each role."""


@dataclass(frozen=True)
class Eligible:
    """The words of one paragraph that count.

    Attributes:
        sha256: Checksum of its text.
        scopes: Their indices: all of them, then those in each of ``ROLES``.
    """

    sha256: str
    scopes: tuple[frozenset[int], ...]

    @property
    def words(self) -> frozenset[int]:
        """All of them."""
        return self.scopes[0]


def eligible_words(paragraph: Paragraph) -> Eligible:
    """The words with a letter or digit."""
    words = frozenset(i for i, text in enumerate(paragraph.word_texts()) if is_content(text))
    return Eligible(
        paragraph.text_sha256, (words, *(words.intersection(paragraph.words_in(role)) for role in ROLES))
    )


def marks(labels: Iterable[Label], repeat: int = 0) -> dict[str, frozenset[int]]:
    """Words marked by paragraph id, of the labels of one repetition that are ``ok``."""
    return {
        label.paragraph_id: frozenset(label.words)
        for label in labels
        if label.repeat == repeat and label.status == "ok"
    }


def pair_row(eligible: Eligible, first: Set[int], second: Set[int]) -> list[float]:
    """Counts of two labellings of one paragraph: a table of all words, ``MEANS``, a table for each role."""
    tables = [cells(words, first, second) for words in eligible.scopes]
    both, first_only, second_only, _ = tables[0]
    marked = both + first_only + second_only > 0
    f1 = _f1(tables[0])
    return [
        *tables[0],
        f1,
        1.0,
        f1 * marked,
        float(marked),
        *(cell for table in tables[1:] for cell in table),
    ]


def role_columns(role: Role) -> slice:
    """Columns of the table of the words in ``role``."""
    start = MEANS.stop + ROLES.index(role) * CELLS
    return slice(start, start + CELLS)


def cells(words: Set[int], first: Set[int], second: Set[int]) -> list[float]:
    """The two-by-two table of two labellings of some words."""
    a, b = words & first, words & second
    both = len(a & b)
    return [both, len(a) - both, len(b) - both, len(words) - len(a) - len(b) + both]


def word_f1(words: Set[int], first: Set[int], second: Set[int]) -> float:
    """Word F1 of two labellings of one paragraph's words; 1 where neither marks any."""
    return _f1(cells(words, first, second))


def _f1(table: Sequence[float]) -> float:
    both, first_only, second_only, _ = table
    marked = both + first_only + second_only > 0
    return 2 * both / (2 * both + first_only + second_only) if marked else 1.0


def many_row(eligible: Eligible, labellings: Sequence[Set[int]], raters: int) -> list[float]:
    """Counts of several labellings of one paragraph, at least two, for all words and then for each role.

    Of each scope: number of words with 0, 1, ... ``raters`` marks, zeros unless all raters labelled it; then
    the three counts of ``krippendorff_alpha``.
    """
    return [count for words in eligible.scopes for count in _votes(words, labellings, raters)]


def _votes(words: Set[int], labellings: Sequence[Set[int]], raters: int) -> list[float]:
    given = len(labellings)
    marked = np.array([sum(word in marks for marks in labellings) for word in sorted(words)], dtype=int)
    complete = np.bincount(marked, minlength=raters + 1) if given == raters else np.zeros(raters + 1)
    unmarked = given - marked
    return [*complete, float((marked * unmarked).sum() / (given - 1)), unmarked.sum(), marked.sum()]


def clusters(words: Mapping[str, Eligible], rows: Iterable[tuple[str, Sequence[float]]]) -> Counts:
    """Sum counts over equal texts: one row a unique text, in order of first appearance.

    Args:
        words: Eligible words by paragraph id.
        rows: Paragraph id and counts, at least one.
    """
    sums: dict[str, Counts] = {}
    for name, counts in rows:
        sha256 = words[name].sha256
        sums[sha256] = sums.get(sha256, np.zeros(len(counts))) + counts
    return np.array(list(sums.values()))
