"""Paraphrases of English text by rule: no parser, so few sentences change, and those that do are safe to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from annotate.schema import Span
from annotate.words import split_words
from evaluate.robustness.body import body_sentences
from evaluate.robustness.lemma import align
from evaluate.robustness.rewriting import Change, Rewriting, rewritten
from evaluate.tasks.task import Example

_LONG = {
    "can't": "cannot",
    "won't": "will not",
    **{
        f"{verb}n't": f"{verb} not"
        for verb in (
            "do", "does", "did", "is", "are", "was", "were", "has", "have", "had",
            "could", "would", "should", "must",
        )
    },
    **{f"{who}'re": f"{who} are" for who in ("we", "you", "they")},
    **{f"{who}'ll": f"{who} will" for who in ("i", "he", "she", "it", "we", "you", "they")},
    **{f"{who}'ve": f"{who} have" for who in ("i", "we", "you", "they")},
    "i'm": "I am",
}  # fmt: skip
_SHORT = {long.lower(): short for short, long in _LONG.items() if long != "cannot"} | {"cannot": "can't"}
_CONTRACTED = re.compile(rf"\b({'|'.join(map(re.escape, _LONG))})(?!\w)", re.IGNORECASE)
_EXPANDED = re.compile(rf"\b({'|'.join(map(re.escape, _SHORT))})\b", re.IGNORECASE)

_JOINTS = "because|after|before|while|when|although"
_TRAILING = re.compile(rf"([^,;:\"“”]+?) ({_JOINTS}) ([^,;:\"“”]+)\.")
_LEADING = re.compile(rf"({_JOINTS}) ([^,;:\"“”]+), ([^,;:\"“”]+)\.", re.IGNORECASE)
# Words that begin with a capital only because they stand first.
_COMMON = frozenset(
    {
        *(
            "the",
            "a",
            "an",
            "he",
            "she",
            "it",
            "they",
            "we",
            "you",
            "his",
            "her",
            "its",
            "their",
            "our",
            "my",
            "your",
        ),
        *("this", "that", "these", "those", "there", "one"),
    }
)

_OWNER = "the|a|an|my|his|her|its|their|our"
_PLACE = "in|on|at|with|during|after|before|near|from|for|by"
_ACTIVE = re.compile(
    rf"((?:{_OWNER}) [a-z]+|[A-Z][a-z]+) ([a-z]+ed) ((?:{_OWNER}) [a-z]+)((?: (?:{_PLACE}) [^,;:]+)?)\."
)
_PASSIVE = re.compile(
    rf"((?:{_OWNER}) [a-z]+) (?:was|were) ([a-z]+ed) by ((?:{_OWNER}) [a-z]+|[A-Z][a-z]+|him|her|them|us|me|it|you)"
    rf"((?: (?:{_PLACE}) [^,;:]+)?)\."
)
_SUBJECTS = {"he": "him", "she": "her", "they": "them", "we": "us", "i": "me", "it": "it", "you": "you"}
_OBJECTS = {other: one for one, other in _SUBJECTS.items()}


def contraction(sentence: str) -> str:
    """Every contraction is written out; in a sentence without any, what can be contracted is."""
    long = _CONTRACTED.sub(lambda match: _like(match[0], _LONG[match[0].lower()]), sentence)
    if long != sentence:
        return long
    return _EXPANDED.sub(lambda match: _like(match[0], _SHORT[match[0].lower()]), sentence)


def clause(sentence: str) -> str:
    """A clause with because, after, before, while, when or although goes from the end to the front, or back.

    Only where the sentence has one such word, no other comma, and no quotation.
    """
    if len(re.findall(rf"\b(?:{_JOINTS})\b", sentence, re.IGNORECASE)) != 1:
        return sentence
    if match := _LEADING.fullmatch(sentence):
        joint, inner, main = match.groups()
        return f"{_capital(main)} {joint.lower()} {_small(inner)}."
    match = _TRAILING.fullmatch(sentence)
    if match is None or min(len(match[1].split()), len(match[3].split())) < 2:
        return sentence
    return f"{match[2].capitalize()} {match[3]}, {_small(match[1])}."


def voice(sentence: str) -> str:
    """Active becomes passive, or back: a determiner and noun, or a name or pronoun, a verb in -ed, an object.

    Nothing else may follow but a phrase that begins with a preposition; an object in -s takes "were".
    """
    plain = _small(sentence)
    if match := _PASSIVE.fullmatch(plain):
        patient, verb, agent, rest = match.groups()
        return f"{_capital(_OBJECTS.get(agent, agent))} {verb} {patient}{rest}."
    match = _ACTIVE.fullmatch(plain) or _ACTIVE.fullmatch(sentence)
    if match is None:
        return sentence
    agent, verb, patient, rest = match.groups()
    if agent.lower() in _COMMON - _SUBJECTS.keys():
        return sentence
    be = "were" if patient.endswith("s") and not patient.endswith("ss") else "was"
    return f"{_capital(patient)} {be} {verb} by {_SUBJECTS.get(agent.lower(), agent)}{rest}."


RULES: dict[str, Callable[[str], str]] = {"voice": voice, "clause": clause, "contraction": contraction}
"""Every rule by name: a sentence to a sentence, the same one where the rule finds nothing."""


class RuleParaphraser:
    """Applies one rule at a time to every sentence of the part that tells; words of changed sentences meet by lemma."""

    kinds: tuple[str, ...] = tuple(RULES)

    def rewrite(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """One rewriting a rule that changes anything."""
        rewritings = [
            [_rewriting(example, name, rule) for name, rule in RULES.items()] for example in examples
        ]
        return [[rewriting for rewriting in row if rewriting is not None] for row in rewritings]


def _rewriting(example: Example, name: str, rule: Callable[[str], str]) -> Rewriting | None:
    changes = []
    for start, end in (span for line in body_sentences(example) for span in line):
        sentence = example.prompt[start:end]
        text = rule(sentence)
        if text != sentence:
            changes.append(Change(start, end, text, by_lemma(sentence, text, start)))
    return rewritten(example, name, changes)


def by_lemma(old: str, new: str, start: int) -> tuple[tuple[Span, Span], ...]:
    """Partners of the words of a stretch of text and of what replaces it.

    Args:
        old: The stretch.
        new: What replaces it.
        start: Where the stretch begins in its text.
    """
    before, after = split_words(old), split_words(new)
    pairs = align([old[a:b] for a, b in before], [new[a:b] for a, b in after])
    return tuple(((before[i][0] + start, before[i][1] + start), after[j]) for i, j in pairs)


def _small(text: str) -> str:
    """Without the capital that a sentence begins with, where the word is common."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first.lower() in _COMMON else text


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _like(old: str, new: str) -> str:
    return _capital(new) if old[0].isupper() else new
