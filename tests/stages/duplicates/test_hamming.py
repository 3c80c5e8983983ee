"""Close codes: all pairs are found without comparing all, and crowds do not cost their square."""

from __future__ import annotations

import numpy as np
import pytest

from stages.duplicates.clusters import Clusters
from stages.duplicates.hamming import LARGE, Codes, close_pairs

ALL_BITS = 0xFFFFFFFFFFFFFFFF


def drawn(count: int, bits: int = ALL_BITS, seed: int = 0) -> Codes:
    """Return distinct random codes that vary in some bits only, shuffled."""
    random = np.random.default_rng(seed)
    codes = np.unique(random.integers(0, 2**64, count, dtype=np.uint64) & np.uint64(bits))
    return random.permutation(codes)


def all_pairs(codes: Codes, distance: int) -> set[tuple[int, int]]:
    """Compare every code with every other."""
    return {
        (row, int(other)) for row, code in enumerate(codes)
        for other in np.flatnonzero(np.bitwise_count(codes ^ code) <= distance) if other > row
    }


def found(codes: Codes, distance: int) -> set[tuple[int, int]]:
    """Return what the search finds, each pair in order."""
    return {
        (min(pair), max(pair)) for left, right in close_pairs(codes, distance)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }


@pytest.mark.parametrize("distance", [0, 1, 3, 6, 9])
@pytest.mark.parametrize("bits", [ALL_BITS, 0xFF000000FFFF00FF, 0x0000000000FFFFFF])
def test_all_pairs_and_no_other(bits: int, distance: int) -> None:
    """The pairs are those that comparing every code with every other gives, whatever bits the codes differ in."""
    codes = drawn(2500, bits)
    expected = all_pairs(codes, distance)
    assert found(codes, distance) == expected
    assert expected or distance < 3 or bits == ALL_BITS


@pytest.mark.parametrize("distance", [2, 6])
def test_planted_pairs_in_many_codes(distance: int) -> None:
    """Among a hundred thousand codes each planted copy is found, up to the distance and not beyond."""
    codes = drawn(100_000)
    random = np.random.default_rng(1)
    flips = [random.permutation(64)[: distance + extra] for extra in (0, 1) for _ in range(500)]
    changes = np.array([sum(1 << int(bit) for bit in some) for some in flips], np.uint64)
    together = np.concatenate([codes, codes[: len(changes)] ^ changes])
    pairs = found(together, distance)
    assert {(row, len(codes) + row) for row in range(500)} <= pairs
    assert not {(row, len(codes) + row) for row in range(500, 1000)} & pairs


def test_a_bucket_larger_than_large_is_cut_again() -> None:
    """Codes that share half their bits, in buckets far too large to compare, still give every pair."""
    codes = drawn(6 * LARGE, 0x00000000FFFFFFFF) | np.uint64(0xABCD000000000000)
    codes[1] = codes[0] ^ np.uint64(0b111)
    assert (0, 1) in found(codes, 3)


def test_a_crowd_costs_no_square() -> None:
    """A quarter of a million codes that are all close to one another are one cluster after few comparisons."""
    codes = np.arange(1 << 18, dtype=np.uint64)
    clusters, pairs = Clusters(len(codes)), 0
    for left, right in close_pairs(codes, 6):
        pairs += len(left)
        clusters.join(left, right)
    assert not clusters.labels().any()
    assert pairs < 3000 * len(codes)
