"""Where words begin and end. A rule with versions, applied once when a benchmark is built."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from annotate.schema import Span

WORD_RULES = ("regex-1", "regex-2")
"""All versions of the rule, the newest last. An older one is kept for the benchmarks that were made by it."""
WORD_RULE = WORD_RULES[-1]

# Letters, digits and combining marks hold together; an apostrophe, hyphen, dot or comma inside a word belongs to it
# ("don't", "x-ray", "3.30"). Anything else that is visible is a word of its own, taken a grapheme at a time so that
# an emoji with its modifiers stays whole.
_CORE = r"[\p{L}\p{N}][\p{L}\p{N}\p{M}\u200c\u200d]*"
# Scripts that put no spaces between words: a clause of them would be one word. Each of their graphemes is one instead,
# which needs no dictionary and splits no word in another way than its neighbour. Letters that several of them share
# (the kana's long mark) belong to them; their digits make numbers as all do.
_UNSPACED = r"(?!\p{Nd})[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}]"
_SPACED = rf"(?!{_UNSPACED})[\p{{L}}\p{{N}}](?:(?!{_UNSPACED})[\p{{L}}\p{{N}}]|[\p{{M}}\u200c\u200d])*"
_WORDS = {
    rule: regex.compile(rf"{core}(?:['’\-.,]{core})*|(?!\s)\X")
    for rule, core in zip(WORD_RULES, (_CORE, _SPACED), strict=True)
}
_NEEDS_NEW = regex.compile(rf"(?=[\p{{L}}\p{{N}}]){_UNSPACED}")


def split_words(text: str, rule: str = WORD_RULE) -> tuple[Span, ...]:
    """Split ``text`` into words by a version of our rule.

    Args:
        text: Any text; it is not normalised.
        rule: ``regex-1``, or ``regex-2``, which differs in scripts that put no spaces between words (Han, kana,
            Thai, Lao, Khmer, Myanmar): each grapheme of these is a word. A name that is not known means the newest.

    Returns:
        ``(start, end)`` code-point pairs in order; together they cover every non-space character.
    """
    return tuple(match.span() for match in _WORDS.get(rule, _WORDS[WORD_RULE]).finditer(text))


def rule_for(text: str) -> str:
    """The oldest version of the rule that makes the words of the newest of ``text``.

    So a text that the versions split alike keeps the name, and with it the requests, that it has in older
    benchmarks.
    """
    return WORD_RULE if _NEEDS_NEW.search(text) else WORD_RULES[0]


def is_content(word: str) -> bool:
    """Whether ``word`` has a letter or digit, so that it is not punctuation."""
    return any(character.isalnum() for character in word)


def word_runs(words: Iterable[int]) -> list[list[int]]:
    """Split word indices into runs of neighbours, in order; one named twice counts once."""
    runs: list[list[int]] = []
    for word in sorted(set(words)):
        if runs and runs[-1][-1] == word - 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs
