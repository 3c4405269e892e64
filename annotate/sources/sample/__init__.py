"""The sample world: passages this project writes itself, with their evidence known by construction.

Nouns are tied to each other at random, so only the paragraph can tell an answer. A fifth of the surface forms of
every relation, of the question forms and of the narrative patterns, and a fifth of all noun pairs, are kept out of
the embedded reader's training.
"""

from __future__ import annotations

import random

from annotate.schema import Narrative, Science
from annotate.sources.sample.narrative import draw_story
from annotate.sources.sample.science import Asks, ask, draw_support
from annotate.sources.sample.world import Patterns, Split, load_world


def sample_passages(
    seed: int, narratives: int, science: int, patterns: Patterns = "all", split: Split = "test"
) -> tuple[list[Narrative], list[Science]]:
    """Draw passages from the sample world.

    Args:
        seed: Same seed, same passages.
        narratives: Number of narrative documents, 8 to 14 sentences each.
        science: Number of science rows, 3 to 5 facts each.
        patterns: ``"train"`` draws only surface forms the reader was trained on, ``"held-out"`` only others.
        split: ``"test"`` draws only noun pairs the reader never saw, ``"train"`` only those it may have seen.

    Returns:
        The narratives and the science rows, with evidence spans.
    """
    world = load_world()
    rng = random.Random(f"sample-world-1|{seed}|{patterns}|{split}")
    stories = []
    most = len(world.narrative_forms(patterns))
    for row in range(narratives):
        title, text = draw_story(rng, world, min(rng.randint(8, 14), most), patterns)
        stories.append(
            Narrative(
                source="sample",
                split=split,
                row=row,
                document_id=f"story-{seed}-{row}",
                title=title,
                text=text,
            )
        )
    rows = []
    for row in range(science):
        support = draw_support(rng, world, rng.randint(3, 5), patterns, split)
        index = rng.randrange(len(support.facts))
        asks: Asks = rng.choice(("object", "subject"))
        question, answer = ask(rng, world, support.facts[index], asks, patterns)
        rows.append(
            Science(
                source="sample",
                split=split,
                row=row,
                question=question.text,
                answer=answer,
                support=support.text,
                support_evidence=support.spans_of(index),
                question_evidence=tuple(sorted(s for n, s in question.spans.items() if n in "sovpbc")),
                pattern=f"{support.facts[index].relation.base}/{support.sentences[index].form}/{question.form}",
            )
        )
    return stories, rows
