"""All pairs at once, against scipy and plain enumeration; places and intervals that claim no more than they know."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import permutation_test

from evaluate.statistics.comparison import AllPairs, PairTest, compare_all, compare_pairs

NAN = float("nan")


def sums(x: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.sum(x, axis=axis))


def scipy_p(x: np.ndarray, n: float) -> float:
    found = permutation_test(
        (x,), sums, permutation_type="samples", n_resamples=n, vectorized=True, rng=np.random.default_rng(1)
    )
    return float(found.pvalue)


def of_zero(x: np.ndarray, clusters: Sequence[object], seed: int = 0) -> PairTest:
    """A single difference from 0."""
    return compare_pairs({"x": (np.zeros(len(x)), x)}, clusters, seed=seed)["x"]


def u_of(texts: np.ndarray) -> np.ndarray:
    """The self-normalised sum over the first axis."""
    norm = np.sqrt((texts**2).sum(0))
    return np.divide(np.abs(texts.sum(0)), norm, out=np.zeros_like(norm), where=norm > 0)


def enumerated(table: np.ndarray, clusters: Sequence[int]) -> dict[tuple[int, int], tuple[float, float]]:
    """Adjusted p of every pair by trying all signs: of the values as they are, and about their means."""
    pairs = list(combinations(range(table.shape[1]), 2))
    texts = sorted(set(clusters))
    tables = {}
    for i, j in pairs:
        one = table[:, i] - table[:, j]
        defined = ~np.isnan(one)
        inside = np.array([[each == text for each in clusters] for text in texts])[:, defined].astype(float)
        mean = one[defined].mean()
        tables[i, j] = inside @ one[defined], inside @ (one[defined] - mean)
    largest: list[list[float]] = [[], []]
    for signs in product([1, -1], repeat=len(texts)):
        for kind in (0, 1):
            flipped = [u_of(np.array(signs) * tables[pair][kind]) for pair in pairs]
            largest[kind].append(float(np.max(flipped)))
    found = {}
    for pair in pairs:
        u = float(u_of(tables[pair][0]))
        plain, about = (float(np.mean(np.array(each) >= u - 1e-9)) for each in largest)
        found[pair] = plain, about
    return found


def test_a_single_difference_is_scipys_permutation_test() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 9)
    ((plain, about),) = enumerated(np.stack([x, np.zeros(9)], axis=1), range(9)).values()
    assert plain == pytest.approx(scipy_p(x, np.inf))
    assert of_zero(x, range(9)).p_adjusted == pytest.approx(max(plain, about))
    x = np.random.default_rng(0).normal(0.3, 1, 60)
    assert of_zero(x, range(60)).p_adjusted == pytest.approx(scipy_p(x, 9999), abs=0.01)
    # Two texts: of the four sign patterns two are as extreme as (1, 1).
    assert of_zero(np.ones(2), range(2)).p_adjusted == 0.5


def test_flips_with_equal_sums_count_as_equal() -> None:
    # Tenths: in whole numbers many flips give exactly the sum that was seen; in floats they miss it by rounding.
    tenths = np.array([1, 7, 2, 3, 3, -2, 11, -4])
    flipped = [np.array(signs) @ tenths for signs in product([1, -1], repeat=8)]
    reached = np.mean(np.abs(flipped) >= abs(tenths.sum()))
    beyond = np.mean(np.abs(flipped) > abs(tenths.sum()))
    assert reached > beyond + 0.02
    for order in (tenths, tenths[::-1], np.roll(tenths, 3)):
        assert of_zero(order / 10, range(8)).p_adjusted == reached


def test_seeded_where_flips_are_drawn() -> None:
    x = np.random.default_rng(0).normal(0.2, 1, 40)
    once, again, other = (of_zero(x, range(40), seed).p_adjusted for seed in (3, 3, 4))
    assert once == again
    assert once != other


@pytest.mark.parametrize("seed", [0, 1])
def test_all_pairs_against_enumeration(seed: int) -> None:
    # Nine examples of seven texts, four methods, two undefined values.
    generator = np.random.default_rng(seed)
    clusters = [0, 1, 2, 3, 4, 5, 6, 6, 0]
    table = generator.normal(0, 1, (9, 4)) + np.array([0.0, 0.3, 1.5, 3.0])
    table[2, 1] = table[5, 3] = NAN
    found = compare_all(dict(zip("abcd", table.T, strict=True)), clusters)
    expected = enumerated(table, clusters)
    assert len(expected) == 6
    assert len({round(max(p), 9) for p in expected.values()}) > 2
    for (i, j), p in expected.items():
        one, turned = found.pairs["abcd"[i], "abcd"[j]], found.pairs["abcd"[j], "abcd"[i]]
        assert one.p_adjusted == turned.p_adjusted == pytest.approx(max(p))
        pair = table[:, i] - table[:, j]
        assert one.difference.mean == pytest.approx(np.nanmean(pair))
        assert (one.difference.n, one.difference.undefined) == ((~np.isnan(pair)).sum(), np.isnan(pair).sum())


def test_an_interval_holds_what_would_not_be_rejected() -> None:
    generator = np.random.default_rng(0)
    clusters = [*range(30), *range(10)]
    table = generator.normal(0, 1, (40, 4)) + np.array([0.0, 0.2, 0.5, 1.0])
    found = compare_all(dict(zip("abcd", table.T, strict=True)), clusters)
    counts = np.bincount(clusters)
    criticals = []
    for (a, b), each in found.pairs.items():
        texts = np.bincount(clusters, weights=table[:, "abcd".index(a)] - table[:, "abcd".index(b)])
        one = each.difference
        assert one.low < one.mean < one.high
        # At both ends u is the same, and the same for all pairs.
        criticals += [float(u_of(texts - counts * end)) for end in (one.low, one.high)]
        assert each.significant == (not one.low <= 0 <= one.high)
    assert criticals == pytest.approx([criticals[0]] * len(criticals))
    assert {each.significant for each in found.pairs.values()} == {True, False}


def test_intervals_of_a_single_pair_are_students() -> None:
    # The family of one: a t interval, but for the quantile being that of the flips.
    x = np.random.default_rng(1).normal(0.5, 1, 50)
    found = of_zero(x, range(50)).difference
    half = 2.01 * x.std(ddof=1) / np.sqrt(50)
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)


def test_more_methods_widen_the_intervals() -> None:
    generator = np.random.default_rng(0)
    values = {str(i): generator.normal(0, 1, 50) for i in range(12)}
    few = compare_all({name: values[name] for name in ("0", "1")}, range(50)).pairs["0", "1"]
    many = compare_all(values, range(50)).pairs["0", "1"]
    # Two-sided .975 quantile of the normal 1.96; of the studentised range of 12 over root 2, 3.27.
    ratio = (many.difference.high - many.difference.low) / (few.difference.high - few.difference.low)
    assert ratio == pytest.approx(3.27 / 1.96, rel=0.1)
    assert many.p_adjusted >= few.p_adjusted


def test_texts_are_flipped_whole_and_undefined_values_left_out() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 8)
    doubled = of_zero(np.concatenate([x, x, [NAN]]), [*range(8), *range(8), 3])
    once = of_zero(x, range(8))
    assert doubled.p_adjusted == pytest.approx(once.p_adjusted)
    assert (doubled.difference.low, doubled.difference.high) == pytest.approx(
        (once.difference.low, once.difference.high)
    )


def test_no_difference_is_no_evidence() -> None:
    found = of_zero(np.zeros(30), range(30))
    assert (found.p_adjusted, found.effect) == (1.0, None)
    assert (found.difference.low, found.difference.mean, found.difference.high) == (0.0, 0.0, 0.0)


def test_rounding_is_no_difference() -> None:
    x = np.linspace(0.1, 0.9, 20)
    found = compare_all({"a": x, "b": x + 1e-16, "c": x + 0.1}, range(20))
    assert (found.pairs["a", "b"].difference.mean, found.pairs["a", "b"].p_adjusted) == (0.0, 1.0)
    assert found.pairs["c", "a"].significant
    # Steady differences vary by rounding alone: their interval has no width.
    assert found.pairs["c", "b"].difference.low == pytest.approx(0.1)
    assert found.pairs["c", "b"].effect is None


def test_too_few_texts_bound_nothing_and_claim_nothing() -> None:
    # Of five texts even one sign throughout comes by chance in 2 cases of 32.
    found = compare_all({"a": np.arange(5.0), "b": np.arange(5.0) + 1, "c": np.arange(5.0) ** 2}, range(5))
    assert not any(each.significant for each in found.pairs.values())
    one = found.pairs["b", "a"]
    assert one.p_adjusted is not None
    assert one.p_adjusted >= 2 / 32
    assert (one.difference.mean, one.difference.low, one.difference.high) == (1.0, None, None)
    # One text says nothing of others, nor do texts of which one outweighs all.
    assert of_zero(np.ones(3), ["same"] * 3).difference.low is None
    heavy = of_zero(np.array([1.0] * 9 + [0.0001] * 10_000), [*range(9), *["heavy"] * 10_000])
    assert heavy.difference.low is None
    assert not heavy.significant


def test_differences_by_hand() -> None:
    values = {
        "a": np.arange(20.0) % 3,
        "b": np.arange(20.0) % 3 + 1 + np.arange(20) % 2,
        "c": np.full(20, NAN),
    }
    found = compare_all(values, range(20)).against("a")
    assert set(found) == {"b"}
    assert found["b"].reference == "a"
    assert found["b"].difference.mean == pytest.approx(1.5)
    # Differences are ten ones and ten twos: mean 1.5 over a standard deviation of sqrt(10 * 0.25 * 2 / 19).
    assert found["b"].effect == pytest.approx(1.5 / np.sqrt(5 / 19))
    # One more than none of 9,999 draws.
    assert found["b"].p_adjusted == pytest.approx(1e-4)


def test_methods_without_a_shared_example_are_no_pair() -> None:
    found = compare_all({"a": np.array([1.0, NAN]), "b": np.array([NAN, 1.0])}, range(2))
    assert found.against("a") == {}
    assert found.places(higher_is_better=True) == {"a": (1, 2), "b": (1, 2)}
    assert compare_all({}, []) == AllPairs(methods=(), pairs={}, valued=frozenset())


def test_places_do_not_separate_what_noise_does_not() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(0, 1, 100)
    values = {
        "good": base + 2 + generator.normal(0, 0.1, 100),
        "also good": base + 2 + generator.normal(0, 0.1, 100),
        "bad": base + generator.normal(0, 0.1, 100),
        "broken": np.full(100, NAN),
    }
    found = compare_all(values, range(100))
    assert found.places(higher_is_better=True) == {
        "good": (1, 2),
        "also good": (1, 2),
        "bad": (3, 3),
        "broken": (4, 4),
    }
    assert found.places(higher_is_better=False) == {
        "good": (2, 3),
        "also good": (2, 3),
        "bad": (1, 1),
        "broken": (4, 4),
    }


def test_places_part_below_five_percent_and_not_above() -> None:
    # Eight texts of one sign: 2 of 256. Seven of the same size and one against them: 2 * (1 + 8) of 256 = .0703.
    base = np.random.default_rng(0).normal(0, 1, 8)
    above, against = np.ones(8), np.array([1.0] * 7 + [-1.0])
    found = compare_all({"a": base + above, "b": base}, range(8))
    assert found.pairs["a", "b"].p_adjusted == pytest.approx(2 / 256)
    assert found.places(higher_is_better=True) == {"a": (1, 1), "b": (2, 2)}
    found = compare_all({"a": base + against, "b": base}, range(8))
    assert found.pairs["a", "b"].p_adjusted == pytest.approx(18 / 256)
    assert found.places(higher_is_better=True) == {"a": (1, 2), "b": (1, 2)}


def test_forty_methods_can_still_be_told_apart() -> None:
    # 780 pairs: the correction must not be out of the permutations' reach.
    generator = np.random.default_rng(0)
    values = {str(i): generator.normal(i, 0.1, 60) for i in range(40)}
    expected = {str(i): (40 - i, 40 - i) for i in range(40)}
    assert compare_all(values, range(60)).places(higher_is_better=True) == expected


def test_twenty_methods_of_noise_share_all_places() -> None:
    generator = np.random.default_rng(1)
    found = compare_all({str(i): generator.normal(0, 1, 80) for i in range(20)}, range(80))
    assert set(found.places(higher_is_better=True).values()) == {(1, 20)}
