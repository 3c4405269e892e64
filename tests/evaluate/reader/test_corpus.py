"""Lessons hold what they say, and nothing that is held out."""

import random
from itertools import islice

from annotate.sources.sample.science import Asks, ask, draw_support
from annotate.sources.sample.world import load_world, pair_split
from evaluate.reader.corpus import Level, lessons
from evaluate.tasks.prompt import CUE

LEVEL = Level(nouns=6, facts=(2, 5), narrative=0.9, drill=0.5, questions=4)


def test_answers_follow_the_cue_and_stand_in_the_paragraph() -> None:
    rng = random.Random(0)
    for lesson in islice(lessons(load_world(), rng, LEVEL), 200):
        paragraph = lesson.text.split(CUE)[0].rsplit("\n", 1)[0].split("\nPairs:")[0]
        assert len(lesson.answers) == 4
        assert lesson.text.count(CUE) == len(lesson.answers)
        for start, end in lesson.answers:
            assert lesson.text[:start].endswith(CUE)
            assert lesson.text[start] == " "
            assert f"the {lesson.text[start + 1 : end]}" in paragraph.lower()
        assert bool(lesson.drills) == ("\nPairs:" in lesson.text)
        for start, end in lesson.drills:
            assert f"the {lesson.text[start + 1 : end]}" in paragraph.lower()


def test_training_supports_state_training_pairs_in_training_forms() -> None:
    world, rng = load_world(), random.Random(1)
    for _ in range(300):
        support = draw_support(rng, world, 5, "train", "train")
        for fact, sentence in zip(support.facts, support.sentences, strict=True):
            assert pair_split(fact.relation, fact.subject, fact.object) == "train"
            assert sentence.form in {f.name for f in world.fact_forms(fact.relation, "train")}
            asks: Asks = "object"
            question, answer = ask(rng, world, fact, asks, "train")
            assert question.form in {f.name for f in world.question_forms(fact.relation, asks, "train")}
            assert answer == fact.object
