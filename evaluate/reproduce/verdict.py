"""The rules by which a printed claim and a measured figure are set against each other; pure functions.

A verdict is about the direction of a claim ("HEAT above the best baseline"), never about how near two numbers are: the
poster's model and data are not those at hand, and several of its scales are not defined. What the interval leaves
open is not called agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from annotate.schema import Record
from evaluate.statistics.intervals import Interval

# Of fewer texts even differences of one sign throughout come by chance in more than one case of twenty (two-sided sign
# test, 2^(1 - n)), and a bootstrap of so few is too narrow.
FEWEST = 6

Word = Literal["agrees in direction", "disagrees", "not comparable", "not run"]


class Verdict(Record):
    """What is to be thought of a claim here.

    Attributes:
        word: One of four.
        why: The reason; what it would take where it was not run.
    """

    word: Word
    why: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def not_run(what_it_takes: str) -> Verdict:
    """The figure was not measured."""
    return Verdict(word="not run", why=what_it_takes)


def not_comparable(why: str) -> Verdict:
    """There is a figure, or cannot be one, and it does not speak to the claim."""
    return Verdict(word="not comparable", why=why)


def of_difference(better: Interval, about: str = "") -> Verdict:
    """Judge a claim that one method is better than another, from paired differences.

    Args:
        better: Mean over examples of better minus worse, its sign turned so that above 0 is as claimed, with its
            95 % interval.
        about: What was compared, for the reason.

    Returns:
        Agreement where the whole interval lies above 0, disagreement where it lies below; not comparable where it holds
        0, where all differences are 0, or where there are fewer than `FEWEST` examples.
    """
    named = f"{about}, " if about else ""
    if better.mean is None or better.low is None or better.high is None:
        return not_comparable(f"{named}too few texts, n = {better.n}")
    if better.low == better.high == 0:
        return not_comparable(f"{named}the two give the same figures on every text here")
    if better.n < FEWEST:
        return not_comparable(f"{named}too few texts, n = {better.n}, difference {better.mean:+.3g}")
    span = f"{named}difference {better.mean:+.3g} [{better.low:+.3g}, {better.high:+.3g}], n = {better.n}"
    if better.low > 0:
        return Verdict(word="agrees in direction", why=span)
    if better.high < 0:
        return Verdict(word="disagrees", why=span)
    return not_comparable(f"undecided, the interval holds 0 ({span})")


def of_ratios(ratios: Sequence[float], about: str = "") -> Verdict:
    """Judge a claim that one method is faster than another, from runs by turns.

    Args:
        ratios: Seconds of the one claimed faster over those of the other, turn by turn.
        about: What was compared, for the reason.

    Returns:
        Agreement where it was faster in every turn, disagreement where it was slower in every turn, else not
        comparable. A single turn decides nothing but a factor of two.
    """
    named = f"{about}, " if about else ""
    spread = f"{named}{min(ratios):.2f} to {max(ratios):.2f} of its time in {len(ratios)} turns"
    margin = 2.0 if len(ratios) == 1 else 1.0
    if max(ratios) < 1 / margin:
        return Verdict(word="agrees in direction", why=spread)
    if min(ratios) > margin:
        return Verdict(word="disagrees", why=spread)
    return not_comparable(f"undecided ({spread})")


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Judge a claim about several, all of which must hold.

    Returns:
        The first that disagrees, else the first that was not run or is undecided, else the first.
    """
    order: list[Word] = ["disagrees", "not run", "not comparable", "agrees in direction"]
    return min(verdicts, key=lambda verdict: order.index(verdict.word))


def of_share(count: int, of: int, about: str) -> Verdict:
    """Judge a claim that something holds for most.

    Returns:
        Agreement where it holds for more than half, else disagreement.
    """
    word: Word = "agrees in direction" if 2 * count > of else "disagrees"
    return Verdict(word=word, why=f"{count} of {of} {about}")
