"""Answers in every label format: as a truthful annotator would give them, and with one lie a quote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import regex

from annotate.formats.tags import tag_name
from annotate.schema import Paragraph

Lie = Callable[[str], str]


def runs(words: Iterable[int]) -> list[tuple[int, int]]:
    """Words that follow each other as ``(first, last)``."""
    found: list[tuple[int, int]] = []
    for word in sorted(set(words)):
        if found and found[-1][1] == word - 1:
            found[-1] = (found[-1][0], word)
        else:
            found.append((word, word))
    return found


def visible(paragraph: Paragraph, word: int) -> tuple[int, int]:
    """A word without the space that belongs to its last grapheme."""
    start, end = paragraph.words[word]
    return start, start + len(regex.sub(r"\s+$", "", paragraph.text[start:end]))


def slice_words(paragraph: Paragraph, first: int, last: int) -> str:
    """The text of words ``first`` to ``last``."""
    return paragraph.text[visible(paragraph, first)[0] : visible(paragraph, last)[1]]


def occurrence(paragraph: Paragraph, first: int, last: int) -> int:
    """Which place of its whole words in the text a run is, counted from 1."""
    quote = slice_words(paragraph, first, last)
    ends = {visible(paragraph, word)[1] for word in range(len(paragraph.words))}
    starts = [start for start, _ in paragraph.words if paragraph.text.startswith(quote, start)]
    same = [start for start in starts if start + len(quote) in ends]
    return 1 + same.index(paragraph.words[first][0])


def truthful_quotes(paragraph: Paragraph, words: Iterable[int]) -> list[dict[str, object]]:
    """One entry a run, as the prompt asks for it."""
    return [
        {
            "quote": slice_words(paragraph, first, last),
            "occurrence": occurrence(paragraph, first, last),
            "before": slice_words(paragraph, max(0, first - 4), first - 1) if first else "",
        }
        for first, last in runs(words)
    ]


def truthful_words(paragraph: Paragraph, words: Iterable[int]) -> list[dict[str, object]]:
    """One entry a word."""
    texts = paragraph.word_texts()
    return [{"i": i, "word": texts[i]} for i in sorted(set(words))]


def tagged(paragraph: Paragraph, words: Iterable[int], lie: Lie = str) -> str:
    """The text with tags around runs; ``lie`` changes what is between them."""
    tag, pieces, at = tag_name(paragraph.text), [], 0
    for first, last in runs(words):
        start, end = paragraph.words[first][0], paragraph.words[last][1]
        pieces += [paragraph.text[at:start], f"<{tag}>", lie(paragraph.text[start:end]), f"</{tag}>"]
        at = end
    return "".join([*pieces, paragraph.text[at:]])


def truthful(format_name: str, paragraph: Paragraph, words: Iterable[int]) -> str:
    """The answer of an annotator that marks ``words`` and makes no mistake."""
    if format_name == "tags":
        return tagged(paragraph, words)
    if format_name == "indexed":
        return json.dumps({"words": truthful_words(paragraph, words)}, ensure_ascii=False)
    return json.dumps({"spans": truthful_quotes(paragraph, words)}, ensure_ascii=False)


def lying(format_name: str, paragraph: Paragraph, words: Iterable[int], lie: Lie) -> str:
    """The answer of an annotator that marks ``words`` and copies each run (or word) through ``lie``."""
    if format_name == "tags":
        return tagged(paragraph, words, lie)
    if format_name == "indexed":
        entries = truthful_words(paragraph, words)
        return json.dumps({"words": [e | {"word": lie(str(e["word"]))} for e in entries]}, ensure_ascii=False)
    spans = truthful_quotes(paragraph, words)
    return json.dumps({"spans": [s | {"quote": lie(str(s["quote"]))} for s in spans]}, ensure_ascii=False)


def swap_case(text: str) -> str:
    """Letter case the other way."""
    return text.swapcase()


def curl(text: str) -> str:
    """Typographic quotation marks."""
    return text.replace("'", "\u2019").replace('"', "\u201d")


def uncurl(text: str) -> str:
    """Plain quotation marks."""
    return text.translate(str.maketrans("\u2018\u2019\u201c\u201d", "''\"\""))


def long_dashes(text: str) -> str:
    """Every hyphen an en dash."""
    return text.replace("-", "\u2013")


def hard_spaces(text: str) -> str:
    """Spaces that do not break, two for one."""
    return text.replace(" ", "\u00a0\u00a0")
