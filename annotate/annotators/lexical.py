"""What the two offline rules know of language: content words, stems, sentences, where an answer stands."""

from __future__ import annotations

from annotate.schema import Paragraph
from annotate.sentences import split_sentences
from annotate.words import WORD_RULE, is_content, split_words

_FUNCTION_TEXT = """
a about after again all also although am an and another any are as at be because been before being between
both but by can cannot could did do does doing done down during each either else etc ever every few first
for from further had has have having he her here hers him his how however i if in into is it its itself just
let like many may me might more most much must my neither no nor not now of off often on once one only or
other our out over own per rather same shall she should since so some such than that the their them then
there therefore these they this those though through thus to too two under until up upon us usually very was
we well were what when where whether which while who whom whose why will with within without would yet you
your
"""
# Words a question needs as a question; they say nothing of the matter asked about.
_PHRASING_TEXT = """
call called term name named known kind type form word describe described refer referred give given use used
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_TEXT.split())
_PHRASING = frozenset(_PHRASING_TEXT.split())
_SUFFIXES = ("ing", "ed", "es", "s")


def stem(word: str) -> str:
    """A key under which the common forms of an English word meet ("absorbs", "absorbed", "absorb").

    Cuts one ending that leaves three letters, then a final "e"; a final "y" becomes "i". Ours.
    """
    key = word.casefold().replace("’", "'").removesuffix("'s")
    for suffix in _SUFFIXES:
        if key.endswith(suffix) and not key.endswith("ss") and len(key) >= len(suffix) + 3:
            key = key.removesuffix(suffix)
            break
    key = key.removesuffix("e") if len(key) > 3 else key
    return key[:-1] + "i" if key.endswith("y") else key


def is_meaningful(word: str) -> bool:
    """Whether ``word`` carries content: neither punctuation nor a function word."""
    return is_content(word) and word.casefold() not in _FUNCTION_WORDS


def is_key(word: str) -> bool:
    """Whether ``word`` tells what a question asks about: content, and no mere phrasing."""
    return is_meaningful(word) and word.casefold() not in _PHRASING


def stems(words: list[str]) -> set[str]:
    """The stems of the words that carry content."""
    return {stem(word) for word in words if is_meaningful(word)}


def words_of(text: str, rule: str = WORD_RULE) -> list[str]:
    """The words of a text that is not a paragraph, as strings, by a version of the word rule."""
    return [text[start:end] for start, end in split_words(text, rule)]


def support_sentences(paragraph: Paragraph) -> list[list[int]]:
    """Word indices of each sentence of the support, in order; without a support, of all but the question."""
    parts = [segment for segment in paragraph.segments if segment.role == "support"]
    parts = parts or [segment for segment in paragraph.segments if segment.role != "question"]
    spans = [
        (part.start + start, part.start + end)
        for part in parts
        for start, end in split_sentences(paragraph.text[part.start : part.end])
    ]
    sentences = [
        [i for i, (first, last) in enumerate(paragraph.words) if start <= first and last <= end]
        for start, end in spans
    ]
    return [sentence for sentence in sentences if sentence]


def answer_position(words: list[str], answer: str, rule: str = WORD_RULE) -> range | None:
    """Where ``answer`` first stands in ``words`` (by ``rule``) as whole words, case ignored; ``None`` if nowhere."""
    wanted = [word.casefold() for word in words_of(answer, rule)]
    have = [word.casefold() for word in words]
    for start in range(len(have) - len(wanted) + 1):
        if wanted and have[start : start + len(wanted)] == wanted:
            return range(start, start + len(wanted))
    return None
