import random

import pytest

from annotate.dataset.duplicates import jaccard, near_duplicates, shingles


def test_shingles_and_jaccard_by_hand() -> None:
    # {abc, bcd} and {abc, bce}: one common of three in all.
    assert shingles("A, b c d.") == {("a", "b", "c"), ("b", "c", "d")}
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == pytest.approx(1 / 3)
    assert shingles("short") == {("short",)}


def test_the_prefix_filter_finds_what_comparing_all_pairs_finds() -> None:
    rng = random.Random(0)
    base = [[f"w{rng.randrange(30)}" for _ in range(20)] for _ in range(20)]
    texts = []
    for _ in range(120):
        words = list(rng.choice(base))
        for _ in range(rng.randrange(4)):
            words[rng.randrange(20)] = f"w{rng.randrange(30)}"
        texts.append(" ".join(words))
    for threshold in (0.5, 0.8, 1.0):
        kept: list[int] = []
        expected = {}
        for i, text in enumerate(texts):
            match = next((k for k in kept if jaccard(shingles(text), shingles(texts[k])) >= threshold), None)
            if match is None:
                kept.append(i)
            else:
                expected[i] = match
        assert near_duplicates(texts, threshold) == expected
        assert expected


def test_a_similarity_that_is_just_reached_is_found_although_its_product_rounds_up() -> None:
    # 55 runs of words of 100: a similarity of .55, and .55 · 100 is 55.00000000000001 in floats.
    words = [f"w{i:03}" for i in range(102)]
    whole, part = " ".join(words), " ".join(words[45:])
    assert (len(shingles(whole)), len(shingles(part))) == (100, 55)
    assert near_duplicates([part, whole], 0.55) == {1: 0}
    assert near_duplicates([part, whole], 0.56) == {}
