"""Paraphrases of the sample world: its sentences read back into facts and said in the paired surface form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import Formatter

from annotate.schema import Span
from annotate.sources.sample.world import Form, load_world
from evaluate.robustness.body import body_sentences
from evaluate.robustness.rewriting import Change, Rewriting, rewritten
from evaluate.tasks.task import Example

# Which form says the same: of a fact, and of a question. Forms without a partner stay as they are.
_VOICE = {"active": "passive", "fronted-active": "fronted-passive", "reported-active": "reported-passive"}
_CLEFT = {
    "active": "object-cleft",
    "passive": "subject-cleft",
    "fronted-active": "object-cleft",
    "fronted-passive": "subject-cleft",
    "object-cleft": "active",
    "subject-cleft": "active",
    "pseudo-cleft": "active",
}
_FRONTING = {"active": "fronted-active", "passive": "fronted-passive"}
_QUESTION = {"what-does": "what-is", "which-does": "which-is", "what": "by-what", "which": "by-which"}


def _both_ways(partners: Mapping[str, str]) -> dict[str, str]:
    return {**partners, **{other: one for one, other in partners.items()}}


FACTS = {"voice": _both_ways(_VOICE), "cleft": _CLEFT, "fronting": _both_ways(_FRONTING)}
QUESTIONS = {"question": _both_ways(_QUESTION)}


@dataclass(frozen=True)
class _Reading:
    """A sentence read back: its form, and where each slot's words stand in it."""

    form: str
    slots: Mapping[str, Span]
    words: Mapping[str, str]


class SampleParaphraser:
    """Rewrites what the sample world wrote; its slots say which words are which, so the alignment is exact.

    ``voice``: active becomes passive and back, in every fact that has such a partner. ``cleft``: "it is ... that".
    ``fronting``: the adverbial goes to the front or back. ``question``: active and passive questions.
    """

    kinds: tuple[str, ...] = (*FACTS, *QUESTIONS)

    def rewrite(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """Every kind of rewriting that changes an example; none for texts from elsewhere."""
        return [
            [rewriting for rewriting in _rewritings(example) if rewriting is not None] for example in examples
        ]


def _rewritings(example: Example) -> list[Rewriting | None]:
    body = [span for line in body_sentences(example) for span in line]
    end = example.words[-1][1]
    question = [(example.prompt.rfind("\n", 0, end) + 1, end)]
    return [
        *(_rewriting(example, name, body, partners, "facts") for name, partners in FACTS.items()),
        *(_rewriting(example, name, question, partners, "questions") for name, partners in QUESTIONS.items()),
    ]


def _rewriting(
    example: Example, name: str, sentences: Sequence[Span], partners: Mapping[str, str], kind: str
) -> Rewriting | None:
    changes = []
    for start, end in sentences:
        reading = _read(example.prompt[start:end], kind)
        if reading is None or reading.form not in partners:
            continue
        text, slots = _say(_forms(kind)[partners[reading.form]].text, reading.words)
        changes.append(
            Change(
                start,
                end,
                text,
                (
                    *(
                        ((start + a, start + b), slots[slot])
                        for slot, (a, b) in reading.slots.items()
                        if slot in slots
                    ),
                    ((end - 1, end), (len(text) - 1, len(text))),  # the mark at the end
                ),
            )
        )
    return rewritten(example, name, changes)


@cache
def _forms(kind: str) -> dict[str, Form]:
    world = load_world()
    forms = world.facts if kind == "facts" else [form for asked in world.questions.values() for form in asked]
    return {form.name: form for form in forms}


@cache
def _patterns(kind: str) -> dict[str, re.Pattern[str]]:
    """A pattern a form, its slots as groups: verbs, phrases and categories as listed, a noun with its article."""
    world = load_world()
    listed = {
        "v": [relation.third for relation in world.relations],
        "p": [relation.participle for relation in world.relations],
        "b": [relation.base for relation in world.relations],
        "a": world.adjuncts,
        "w": world.observers,
        "c": list(world.categories),
    }
    options = {
        slot: "|".join(map(re.escape, sorted(words, key=len, reverse=True))) for slot, words in listed.items()
    }
    options |= {"s": r"the \w+", "o": r"the \w+"}
    patterns = {}
    for name, form in _forms(kind).items():
        parts = [
            re.escape(literal) + (f"(?P<{slot}>{options[slot]})" if slot else "")
            for literal, slot, _, _ in Formatter().parse(form.text)
        ]
        patterns[name] = re.compile("".join(parts), re.IGNORECASE)
    return patterns


def _read(sentence: str, kind: str) -> _Reading | None:
    """The fact or question that a sentence states, with the verb in every form; ``None`` for other sentences."""
    for name, pattern in _patterns(kind).items():
        match = pattern.fullmatch(sentence)
        if match is None:
            continue
        words = {slot: text.lower() for slot, text in match.groupdict().items()}
        verb = next(slot for slot in "vpb" if slot in words)
        relation = next(
            relation
            for relation in load_world().relations
            if words[verb] in (relation.third, relation.participle, relation.base)
        )
        words |= {"v": relation.third, "p": relation.participle, "b": relation.base}
        spans = {slot: match.span(slot) for slot in match.groupdict()}
        # The verb is one word, whatever its form.
        spans["v"] = spans["p"] = spans["b"] = spans[verb]
        return _Reading(name, spans, words)
    return None


def _say(form: str, words: Mapping[str, str]) -> tuple[str, dict[str, Span]]:
    """A form filled, with the span of every slot, articles included."""
    text, spans = "", {}
    for literal, slot, _, _ in Formatter().parse(form):
        text += literal
        if slot:
            spans[slot] = (len(text), len(text) + len(words[slot]))
            text += words[slot]
    return text[0].upper() + text[1:], spans
