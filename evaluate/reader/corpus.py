"""Training text of the embedded reader: sample-world paragraphs, each followed by several questions and answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from annotate.schema import Span
from annotate.sources.sample.narrative import draw_story
from annotate.sources.sample.science import Asks, ask, draw_support
from annotate.sources.sample.world import World
from evaluate.tasks.prompt import CUE


@dataclass(frozen=True)
class Lesson:
    """A text to train on, with the code-point spans of the answers and of the drilled nouns in it."""

    text: str
    answers: tuple[Span, ...]
    drills: tuple[Span, ...]


@dataclass(frozen=True)
class Level:
    """How hard the lessons of one level are.

    Attributes:
        nouns: How many nouns of each category facts speak of.
        facts: Fewest and most facts in the support.
        narrative: Probability that a narrative distractor stands beside the support.
        drill: Probability of a line after the paragraph that pairs the nouns of each fact, one right after the other:
            the shortest exercise in finding a noun again and copying what stands beside it.
        questions: Questions after each paragraph.
    """

    nouns: int
    facts: tuple[int, int]
    narrative: float
    drill: float
    questions: int


def lessons(world: World, rng: random.Random, level: Level) -> Iterator[Lesson]:
    """Draw lessons without end, from training patterns and training pairs only.

    Several questions follow each paragraph: one pass over its tokens then teaches several answers.

    Args:
        world: The sample world.
        rng: Source of randomness.
        level: How hard they are.

    Yields:
        One lesson after another.
    """
    categories = {name: nouns[: level.nouns] for name, nouns in world.categories.items()}
    world = replace(world, categories=categories)
    while True:
        support = draw_support(rng, world, rng.randint(*level.facts), "train", "train")
        parts = [support.text]
        if rng.random() < level.narrative:
            parts.insert(rng.randrange(2), draw_story(rng, world, rng.randint(2, 5), "train")[1])
        text, answers, drills = "\n".join(parts), [], []
        if rng.random() < level.drill:
            text += "\nPairs:"
            for fact in rng.sample(support.facts, len(support.facts)):
                first, second = rng.sample((fact.subject, fact.object), 2)
                drills.append((len(text) + 1 + len(first), len(text) + 2 + len(first) + len(second)))
                text += f" {first} {second},"
        # Drawn with replacement: if each fact were asked once, the last answers could be told by elimination.
        for _ in range(level.questions):
            asks: Asks = rng.choice(("object", "subject"))
            question, answer = ask(rng, world, rng.choice(support.facts), asks, "train")
            text += f"\n{question.text}{CUE}"
            answers.append((len(text), len(text) + 1 + len(answer)))
            text += f" {answer}"
        yield Lesson(text, tuple(answers), tuple(drills))
