"""Science supports that can stand in a paragraph: sound, not repeated, holding the answer, short enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from annotate.dataset.screening import bad_character, without_repeats
from annotate.schema import Science, Span
from annotate.sentences import split_sentences
from annotate.words import is_content, split_words


@dataclass(frozen=True, eq=False)
class Support:
    """The support of one science row; equal to itself only, so that it can be counted.

    Attributes:
        row: The row it comes from.
        text: The support, or the run of its sentences around the answer.
        answer: The answer as it stands in ``text``.
        pattern: Finds the answer in other texts.
        length: Number of words of ``text``.
    """

    row: Science
    text: str
    answer: str
    pattern: regex.Pattern[str]
    length: int


def answer_pattern(answer: str) -> regex.Pattern[str]:
    """A pattern that finds ``answer`` as whole words, whatever its case and the space between its words."""
    words = r"\s+".join(regex.escape(word) for word in answer.split())
    return regex.compile(rf"(?<!\w){words}(?!\w)", regex.IGNORECASE)


def usable_supports(science: Sequence[Science], limit: int, dropped: Counter[str]) -> list[Support]:
    """The supports that can be used, one per row, in order.

    Args:
        science: The rows.
        limit: Greatest number of words. A longer support of real text is cut to the run of sentences around
            the answer; one with constructed evidence is left out.
        dropped: Counts the rows left out by reason; it is added to.
    """
    sound = []
    for row in science:
        flaw = _flaw(row)
        if flaw:
            dropped[f"science: {flaw}"] += 1
        else:
            sound.append(row)
    supports = []
    for index in without_repeats([row.support for row in sound], "science: support", dropped):
        support = _fit(sound[index], limit)
        if isinstance(support, Support):
            supports.append(support)
        else:
            dropped[f"science: {support}"] += 1
    return supports


def _flaw(row: Science) -> str | None:
    for name, text in (("question", row.question), ("answer", row.answer), ("support", row.support)):
        if not is_content(text):
            return f"{name} is empty"
    return bad_character(row.question) or bad_character(row.answer) or bad_character(row.support)


def _fit(row: Science, limit: int) -> Support | str:
    """The support within ``limit`` words, or why there is none."""
    words = split_words(row.support)
    starts = {start for start, _ in words}
    ends = {end for _, end in words}
    pattern = answer_pattern(row.answer)
    hits = [m.span() for m in pattern.finditer(row.support) if m.start() in starts and m.end() in ends]
    if not hits:
        inside = row.answer.casefold() in row.support.casefold()
        return "answer only inside other words of the support" if inside else "answer not in the support"
    if len(words) <= limit:
        return Support(row, row.support, row.support[slice(*hits[0])], pattern, len(words))
    if row.support_evidence is not None:
        return "support too long"
    start, end = _around_answer(row, hits, limit)
    text = row.support[start:end]
    length = len(split_words(text))
    if not 0 < length <= limit:
        return "support too long"
    answer = next(row.support[a:b] for a, b in hits if start <= a and b <= end)
    return Support(row, text, answer, pattern, length)


def _around_answer(row: Science, hits: list[Span], limit: int) -> Span:
    """The bounds of a run of sentences of at most ``limit`` words with the answer.

    The run grows both ways from the sentence that holds the answer and shares most words with the question.
    It is empty if no sentence holds the answer.
    """
    spans = split_sentences(row.support)
    question = _word_set(row.question)
    holders = [i for i, (a, b) in enumerate(spans) if any(a <= start and end <= b for start, end in hits)]
    if not holders:
        return 0, 0
    first = last = max(holders, key=lambda i: len(question & _word_set(row.support[slice(*spans[i])])))
    grown = True
    while grown:
        grown = False
        for before, after in ((1, 0), (0, 1)):
            low, high = first - before, last + after
            if low < 0 or high >= len(spans):
                continue
            if len(split_words(row.support[spans[low][0] : spans[high][1]])) <= limit:
                first, last, grown = low, high, True
    return spans[first][0], spans[last][1]


def _word_set(text: str) -> set[str]:
    return {text[a:b].casefold() for a, b in split_words(text) if is_content(text[a:b])}
