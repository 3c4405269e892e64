"""The sample world keeps its promises: size, uniqueness, evidence, and what is held out."""

import re
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.dataset.mixing import MixOptions, build_dataset
from annotate.sources.sample import sample_passages
from annotate.sources.sample.world import load_world, pair_split


def words_of(*texts: str) -> set[str]:
    return {word.lower() for text in texts for word in re.findall(r"[^\W\d_]+", text)}


def vocabulary(patterns: str, split: str) -> set[str]:
    narratives, science = sample_passages(1, 4000, 8000, patterns, split)
    return words_of(
        *(n.text for n in narratives), *(s.support for s in science), *(s.question for s in science)
    )


def test_counts() -> None:
    world = load_world()
    assert len(world.relations) >= 60
    assert len(world.narratives) >= 40
    assert {"active", "passive"} <= {form.name for form in world.facts}
    assert len(vocabulary("all", "test")) >= 1500


def test_a_noun_is_in_one_category_and_a_verb_in_one_relation() -> None:
    world = load_world()
    nouns = Counter(noun for category in world.categories.values() for noun in category)
    assert nouns.most_common(1)[0][1] == 1
    assert len({r.base for r in world.relations}) == len(world.relations)
    fillers = Counter(word for words in world.fillers.values() for word in words)
    assert fillers.most_common(1)[0][1] == 1
    assert not set(fillers) & set(nouns)


def test_every_relation_has_forms_seen_and_held_out_in_active_and_passive() -> None:
    world = load_world()
    for relation in world.relations:
        seen, held_out = (world.fact_forms(relation, p) for p in ("train", "held-out"))
        assert len(held_out) * 5 == len(world.facts)
        assert not {f.name for f in seen} & {f.name for f in held_out}
        assert any("passive" in f.name for f in seen)
        assert any("active" in f.name for f in seen)
    assert len(world.narrative_forms("held-out")) * 5 == len(world.narratives)


def test_held_out_patterns_are_made_of_words_that_training_saw() -> None:
    assert vocabulary("held-out", "test") <= vocabulary("train", "train")


def test_splits_state_different_pairs() -> None:
    world = load_world()
    relation = world.relations[0]
    pairs = [(s, o) for s in world.categories[relation.subject] for o in world.categories[relation.object]]
    share = sum(pair_split(relation, s, o) == "test" for s, o in pairs) / len(pairs)
    assert 0.17 < share < 0.23
    for split in ("train", "test"):
        _, science = sample_passages(3, 1, 200, "all", split)
        for row in science:
            base = row.pattern.split("/")[0]
            relation = next(r for r in world.relations if r.base == base)
            first, _, last = sorted(
                (row.support[a:b] for a, b in row.support_evidence),
                key=lambda w: (
                    w not in world.categories[relation.subject],
                    w in world.categories[relation.object],
                ),
            )
            assert pair_split(relation, first, last) == split


@given(st.integers(0, 2**32))
def test_evidence_holds_answer_and_question_noun(seed: int) -> None:
    _, (row,) = sample_passages(seed, 0, 1)
    marked = [row.support[a:b] for a, b in row.support_evidence]
    asked = [row.question[a:b] for a, b in row.question_evidence]
    assert len(marked) == 3
    assert row.answer in marked
    assert row.answer not in asked
    # the noun that is asked about stands in both, so the evidence sentence can be found
    assert len(set(marked) & set(asked) - {row.answer}) >= 1


@given(st.integers(0, 2**32))
def test_only_one_fact_answers_the_question(seed: int) -> None:
    _, (row,) = sample_passages(seed, 0, 1)
    world = load_world()
    base = row.pattern.split("/")[0]
    relation = next(r for r in world.relations if r.base == base)
    given_noun = next(
        w for w in (row.support[a:b] for a, b in row.support_evidence)
        if w != row.answer and w not in (relation.third, relation.participle)
    )  # fmt: skip
    verb = rf"\b({relation.third}|{relation.participle})\b"
    stating = [s for s in row.support.split(".") if re.search(rf"\b{given_noun}\b", s) and re.search(verb, s)]
    assert len(stating) == 1


def test_the_same_seed_gives_the_same_passages_and_another_seed_others() -> None:
    assert sample_passages(5, 20, 20) == sample_passages(5, 20, 20)
    assert sample_passages(5, 20, 20) != sample_passages(6, 20, 20)


@pytest.mark.parametrize("size", [2000])
def test_two_thousand_unique_paragraphs(size: int) -> None:
    begin = time.perf_counter()
    narratives, science = sample_passages(0, size, size + size // 4)
    paragraphs, report = build_dataset(narratives, science, MixOptions(size=size))
    assert len({p.text for p in paragraphs}) == size
    assert report.made == size
    assert all(p.evidence for p in paragraphs)
    # a sanity bound far above what it takes (a few seconds), not a measurement
    assert time.perf_counter() - begin < 60
