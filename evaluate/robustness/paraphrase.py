"""The paraphrase probe: the same said otherwise, by whoever can rewrite a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evaluate.errors import EvaluateError
from evaluate.robustness.rewriting import Rewriting
from evaluate.robustness.rewritings import RewritingMeasure
from evaluate.robustness.rules import RuleParaphraser
from evaluate.robustness.sample import SampleParaphraser
from evaluate.tasks.task import Example

VOICE = "voice"


class Paraphraser(Protocol):
    """Says texts in other words.

    Attributes:
        kinds: Names of its rewritings.
    """

    kinds: tuple[str, ...]

    def rewrite(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """Rewrite each example; only what changed, at most one rewriting of a kind."""
        ...


def paraphraser(name: str) -> Paraphraser:
    """A paraphraser by name.

    Args:
        name: ``sample`` (texts of the sample world, words aligned exactly) or ``rules`` (English, aligned by lemma).

    Raises:
        EvaluateError: There is none of that name.
    """
    known: dict[str, type[Paraphraser]] = {"sample": SampleParaphraser, "rules": RuleParaphraser}
    if name not in known:
        raise EvaluateError(f"there is no paraphraser {name!r}; there are: {', '.join(known)}")
    return known[name]()


class ParaphraseMeasure(RewritingMeasure):
    """Word scores beside those of a paraphrase.

    Args:
        paraphrasers: Asked in this order; of two rewritings of one kind the first counts.
    """

    kind = "robustness-paraphrase"

    def __init__(self, paraphrasers: Sequence[Paraphraser]) -> None:
        kinds = dict.fromkeys(kind for each in paraphrasers for kind in each.kinds)
        super().__init__(tuple(kinds), leading=VOICE)
        self._paraphrasers = tuple(paraphrasers)

    def rewritings(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """What all paraphrasers say, without those of which no word has a partner."""
        found: list[dict[str, Rewriting]] = [{} for _ in examples]
        for each in self._paraphrasers:
            for own, rewritings in zip(found, each.rewrite(examples), strict=True):
                for rewriting in rewritings:
                    if rewriting.pairs:
                        own.setdefault(rewriting.name, rewriting)
        return [list(own.values()) for own in found]
