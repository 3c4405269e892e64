"""Narrative documents of the sample world: one cast, one place, one thing, told in random patterns."""

from __future__ import annotations

import random

from annotate.sources.sample.world import Patterns, World


def draw_story(rng: random.Random, world: World, sentences: int, patterns: Patterns) -> tuple[str, str]:
    """Draw one story.

    Args:
        rng: Source of randomness.
        world: What to draw from.
        sentences: Number of sentences; at most as many as there are patterns allowed.
        patterns: Which narrative patterns may be used.

    Returns:
        Title and text; sentences are joined by spaces.
    """
    names = rng.sample(world.fillers["first"], 3)
    fixed = {"town": rng.choice(world.fillers["town"])}
    objects = rng.sample(world.fillers["object"], 2)
    places = rng.sample(world.fillers["place"], 2)
    nouns = rng.sample(world.story_nouns, 3)
    forms = rng.sample(world.narrative_forms(patterns), sentences)
    lines = []
    for form in forms:
        slots = {
            **fixed,
            **dict(zip("abc", names, strict=True)),
            **dict(zip("xyz", nouns, strict=True)),
            "object": rng.choice(objects),
            "place": rng.choice(places),
            **{slot: rng.choice(world.fillers[slot]) for slot in ("job", "mood", "relative", "time")},
        }
        lines.append(form.text.format(**slots))
    return f"The {objects[0].capitalize()} of {fixed['town']}", " ".join(lines)
