"""Figures of two or more labellings, read off summed counts."""

from __future__ import annotations

from annotate.agreement.coefficients import (
    cohen_kappa,
    first_share,
    fleiss_kappa,
    krippendorff_alpha,
    negative_agreement,
    pooled_f1,
    second_share,
)
from annotate.agreement.counts import CELLS, ROLES, role_columns
from annotate.agreement.intervals import Sums, estimate
from annotate.agreement.records import Figures, ManyFigures
from annotate.schema import Role

NO_MARK = "neither marks any word"
CHANCE = "both mark every word, or none: chance alone would agree"
_CHANCE_MANY = "all mark every word, or none: chance alone would agree"
_ALPHA_COLUMNS = 3


def figures(sums: Sums) -> Figures:
    """Figures of one two-by-two table, the first four columns of ``sums``."""
    return Figures(
        words=int(sums.total[0, :CELLS].sum()),
        f1=estimate(pooled_f1, sums, NO_MARK),
        kappa=estimate(cohen_kappa, sums, CHANCE),
        negative_agreement=estimate(negative_agreement, sums, "both mark every word"),
        marked_share=(estimate(first_share, sums, "no word"), estimate(second_share, sums, "no word")),
    )


def segment_figures(sums: Sums) -> dict[Role, Figures]:
    """Figures of the words in each role, of counts as ``pair_row`` makes them; roles without words left out."""
    by_role = {role: figures(sums.columns(role_columns(role))) for role in ROLES}
    return {role: counts for role, counts in by_role.items() if counts.words}


def many_figures(sums: Sums, raters: int) -> tuple[ManyFigures, dict[Role, ManyFigures]]:
    """Figures of counts as ``many_row`` makes them: over all words, and in each role that has words."""
    width = raters + 1 + _ALPHA_COLUMNS
    scopes = [
        _many(sums.columns(slice(start, start + width)), raters)
        for start in range(0, (1 + len(ROLES)) * width, width)
    ]
    by_role = dict(zip(ROLES, scopes[1:], strict=True))
    return scopes[0], {role: counts for role, counts in by_role.items() if counts.ratings}


def _many(sums: Sums, raters: int) -> ManyFigures:
    votes, ratings = sums.columns(slice(0, raters + 1)), sums.columns(slice(raters + 1, None))
    complete = int(votes.total.sum())
    reason = _CHANCE_MANY if complete else "no paragraph was labelled by all"
    return ManyFigures(
        complete_words=complete,
        fleiss_kappa=estimate(fleiss_kappa, votes, reason),
        ratings=int(ratings.total[0, 1:].sum()),
        alpha=estimate(krippendorff_alpha, ratings, _CHANCE_MANY),
    )
