"""Science supports of the sample world: facts drawn at random, put into sentences, and asked about."""

from __future__ import annotations

import random
from dataclasses import dataclass
from string import Formatter
from typing import Literal

from annotate.schema import Span
from annotate.sources.sample.world import Patterns, Relation, Split, World, pair_split

Asks = Literal["object", "subject"]


@dataclass(frozen=True)
class Fact:
    """Who does what to what."""

    relation: Relation
    subject: str
    object: str


@dataclass(frozen=True)
class Rendering:
    """A text with the code-point spans of its filled slots."""

    text: str
    spans: dict[str, Span]
    form: str


@dataclass(frozen=True)
class Support:
    """Facts and the sentences that state them, in the same order."""

    facts: tuple[Fact, ...]
    sentences: tuple[Rendering, ...]

    @property
    def text(self) -> str:
        """The sentences joined by spaces."""
        return " ".join(sentence.text for sentence in self.sentences)

    def spans_of(self, index: int) -> tuple[Span, ...]:
        """Spans in ``text`` of the two nouns and the verb of fact ``index``, in order."""
        shift = sum(len(sentence.text) + 1 for sentence in self.sentences[:index])
        slots = self.sentences[index].spans
        return tuple(
            sorted((start + shift, end + shift) for name, (start, end) in slots.items() if name in "sovp")
        )


def render(form_text: str, form_name: str, slots: dict[str, str]) -> Rendering:
    """Fill ``{slots}`` of a form, noting where each landed, and capitalise the first letter.

    A noun phrase begins with "the "; its span covers the noun alone.
    """
    text, spans = "", {}
    for literal, slot, _, _ in Formatter().parse(form_text):
        text += literal
        if slot:
            value = slots[slot]
            skip = len("the ") if slot in "so" else 0
            spans[slot] = (len(text) + skip, len(text) + len(value))
            text += value
    return Rendering(text[0].upper() + text[1:], spans, form_name)


def draw_support(rng: random.Random, world: World, size: int, patterns: Patterns, split: Split) -> Support:
    """Draw ``size`` facts and state them.

    The first fact's relation holds for most of the others with other nouns, and one fact may speak of the first
    fact's subject or object under another relation, so that neither the verb nor the noun alone finds an answer.

    Args:
        rng: Source of randomness.
        world: What to draw from.
        size: Number of facts, at least 1.
        patterns: Which surface forms may be used.
        split: Which pairs of nouns may be stated.

    Returns:
        The support, its sentences in random order.
    """
    relation = rng.choice(world.relations)
    count = size - 1 if size > 2 and rng.random() < 0.5 else size
    facts = _distinct_facts(rng, world, relation, count, split)
    if count < size:
        facts.append(_related_fact(rng, world, facts, split))
    rng.shuffle(facts)
    return Support(tuple(facts), tuple(_state(rng, world, fact, patterns) for fact in facts))


def _distinct_facts(
    rng: random.Random, world: World, relation: Relation, count: int, split: Split
) -> list[Fact]:
    facts: list[Fact] = []
    for subject in rng.sample(world.categories[relation.subject], len(world.categories[relation.subject])):
        taken = {fact.object for fact in facts}
        free = [
            noun
            for noun in world.categories[relation.object]
            if noun not in taken and pair_split(relation, subject, noun) == split
        ]
        if free:
            facts.append(Fact(relation, subject, rng.choice(free)))
        if len(facts) == count:
            break
    return facts


def _related_fact(rng: random.Random, world: World, facts: list[Fact], split: Split) -> Fact:
    noun, category = facts[0].subject, facts[0].relation.subject
    used = {name for fact in facts for name in (fact.subject, fact.object)}
    candidates = []
    for relation in world.relations:
        if relation is facts[0].relation or category not in (relation.subject, relation.object):
            continue
        if relation.subject == category:
            pairs = [(noun, other) for other in world.categories[relation.object]]
        else:
            pairs = [(other, noun) for other in world.categories[relation.subject]]
        candidates += [
            Fact(relation, s, o)
            for s, o in pairs
            if not {s, o} - {noun} & used and pair_split(relation, s, o) == split
        ]
    return rng.choice(candidates)


def _state(rng: random.Random, world: World, fact: Fact, patterns: Patterns) -> Rendering:
    form = rng.choice(world.fact_forms(fact.relation, patterns))
    slots = {
        "s": f"the {fact.subject}",
        "o": f"the {fact.object}",
        "v": fact.relation.third,
        "p": fact.relation.participle,
        "a": rng.choice(world.adjuncts),
        "w": rng.choice(world.observers),
    }
    return render(form.text, form.name, slots)


def ask(
    rng: random.Random, world: World, fact: Fact, asks: Asks, patterns: Patterns
) -> tuple[Rendering, str]:
    """Ask for the object or the subject of a fact.

    Returns:
        The question with the spans of its slots, and the answer (a bare noun).
    """
    form = rng.choice(world.question_forms(fact.relation, asks, patterns))
    relation = fact.relation
    slots = {
        "s": f"the {fact.subject}",
        "o": f"the {fact.object}",
        "v": relation.third,
        "p": relation.participle,
        "b": relation.base,
        "c": relation.object if asks == "object" else relation.subject,
    }
    return render(form.text, form.name, slots), fact.object if asks == "object" else fact.subject
