"""Which words of a text are which words of its rewriting, where nobody says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

_ENDINGS = ("ing", "ies", "ied", "ed", "es", "s", "ly")
_SHORTEST = 3


def lemma(word: str) -> str:
    """A word without case and light endings (ours): the longest of -ing, -ies, -ied, -ed, -es, -ly, -s goes.

    Three letters stay at least; a doubled consonant or silent e that the ending leaves behind goes too, so that
    "stopped", "stops" and "stopping", or "chased" and "chases", meet. It is no dictionary: "ran" and "run" do not.
    """
    stem = word.casefold().replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        left = stem[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
        if stem.endswith(ending) and len(left) >= _SHORTEST and not stem.endswith("ss"):
            stem = left
            break
    if len(stem) > _SHORTEST and stem[-1] == stem[-2] and stem[-1] not in "aeiouls":
        stem = stem[:-1]
    return stem.removesuffix("e") if len(stem) > _SHORTEST else stem


def align(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Pair words by lemma: those whose lemma occurs equally often in both texts, in order of occurrence.

    A lemma that occurs more often in one of them is left out, since nobody can say which occurrence went.

    Args:
        old: Words of a text.
        new: Words of its rewriting.

    Returns:
        Pairs of indices, in the order of the old words.
    """
    places: list[dict[str, list[int]]] = []
    for words in (old, new):
        by_lemma: dict[str, list[int]] = defaultdict(list)
        for index, word in enumerate(words):
            by_lemma[lemma(word)].append(index)
        places.append(by_lemma)
    before, after = places
    return sorted(
        pair
        for name, indices in before.items()
        if len(indices) == len(after.get(name, []))
        for pair in zip(indices, after[name], strict=True)
    )
