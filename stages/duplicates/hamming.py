"""Pairs of 64-bit codes that differ in few bits, found by multi-index lookup and never by comparing all pairs.

The bits are cut into B blocks. Two codes that differ in at most d bits agree in at least B - d blocks, so they share
a bucket in at least one of the C(B, B - d) tables that each sort the codes by B - d of the blocks (Manku, Jain and
Das Sarma 2007, "Detecting near-duplicates for web crawling"). Only codes of one bucket are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BITS", "Codes", "Rows", "close_pairs"]

Codes = NDArray[np.uint64]
Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows]

BITS: Final = 64
MAX_BLOCKS: Final = 14
SORT_NS: Final = 150.0
COMPARE_NS: Final = 2.0
"""What a code costs in a table, and a pair in a bucket; measured, in nanoseconds. They only choose the tables."""
CHUNK: Final = 1 << 14
"""Codes compared at a time: they stay in the processor's cache."""
SOME: Final = 15
"""Every 16 shifts is looked how many codes of the chunk still have one so far behind them in their bucket."""
FEW: Final = 8
"""Where fewer than one in 8 has, only those are compared."""
NOWHERE: Final = np.zeros(0, np.int64)
LARGE: Final = 1 << 13
"""A bucket of more codes is cut into tables of its own."""
DEPTH: Final = 2
WINDOW: Final = 32
TURNS: Final = 8
"""In a bucket that is still large after ``DEPTH`` cuts each code is compared only with so many neighbours, in each of
so many orders."""


def close_pairs(codes: Codes, distance: int) -> Iterator[Pairs]:
    """Yield pairs of places of codes that differ in at most ``distance`` bits.

    Every such pair is found, some more than once, except inside crowds: where more than ``LARGE`` codes still share
    a bucket after it has been cut ``DEPTH`` times, each is compared with some neighbours, so that time grows with the
    number of codes and not with its square. Where codes agree in all but ``distance`` bits, only a chain of them is
    yielded, which joins them all.

    Args:
        codes: distinct codes, (n,); at most 2^32.
        distance: most bits that may differ, 0 to 64.
    """
    return _close_pairs(codes, distance, DEPTH)


def _close_pairs(codes: Codes, distance: int, depth: int) -> Iterator[Pairs]:
    if len(codes) < 2 or distance < 1:
        return
    packed, bits = _varying(codes)
    if bits <= distance:
        yield np.arange(len(codes) - 1), np.arange(1, len(codes))
        return
    if depth == 0:
        yield from _neighbours(packed, bits, distance)
        return
    blocks, shared = _shape(len(codes), bits, distance)
    edges = [round(bits * block / blocks) for block in range(blocks + 1)]
    for chosen in combinations(range(blocks), shared):
        order, keys = _bucketed(packed, [(edges[block], edges[block + 1]) for block in chosen])
        yield from _in_buckets(packed[order], keys, order, distance, depth)


def _varying(codes: Codes) -> tuple[Codes, int]:
    """Return the codes without the bits in which all agree, packed to the right, and how many bits are left."""
    differing = int(np.bitwise_or.reduce(codes ^ codes[0]))
    positions = [bit for bit in range(BITS) if differing >> bit & 1]
    if len(positions) == BITS:
        return codes, BITS
    packed = np.zeros_like(codes)
    for place, bit in enumerate(positions):
        packed |= (codes >> np.uint64(bit) & np.uint64(1)) << np.uint64(place)
    return packed, len(positions)


def _shape(count: int, bits: int, distance: int) -> tuple[int, int]:
    """Return into how many blocks to cut and how many of them must agree, for the least expected time."""

    def cost(shape: tuple[int, int]) -> float:
        blocks, shared = shape
        bucket = count / 2.0 ** (bits * shared // blocks)
        return comb(blocks, shared) * count * (SORT_NS + COMPARE_NS * bucket / 2)

    shapes = [(blocks, blocks - distance) for blocks in range(distance + 1, max(MAX_BLOCKS, distance + 2) + 1)]
    # A key and a place go into one 64-bit number.
    usable = [shape for shape in shapes if shape[0] <= bits and -(-bits // shape[0]) * shape[1] <= BITS // 2]
    return min([(1, 0), *usable], key=cost)


def _bucketed(codes: Codes, blocks: list[tuple[int, int]]) -> tuple[Rows, NDArray[np.uint32]]:
    """Return the codes' places in order of the bits of some blocks, and those bits in that order."""
    keys, width = np.zeros_like(codes), 0
    for low, high in blocks:
        keys |= (codes >> np.uint64(low) & np.uint64((1 << (high - low)) - 1)) << np.uint64(width)
        width += high - low
    keys <<= np.uint64(BITS // 2)
    keys |= np.arange(len(codes), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), (keys >> np.uint64(BITS // 2)).astype(np.uint32)


def _in_buckets(
    codes: Codes, keys: NDArray[np.uint32], order: Rows, distance: int, depth: int
) -> Iterator[Pairs]:
    """Yield close pairs among codes, in order of their keys, that have the same key."""
    starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]])
    sizes = np.diff(starts)
    for bucket in np.flatnonzero(sizes > LARGE):
        inside = slice(starts[bucket], starts[bucket + 1])
        for left, right in _close_pairs(codes[inside], distance, depth - 1):
            yield order[inside][left], order[inside][right]
    behind = np.repeat(np.where(sizes > LARGE, 0, starts[1:]), sizes) - np.arange(1, len(codes) + 1)
    for start in range(0, len(codes), CHUNK):
        for left, right in _shifted(codes, start, behind[start : start + CHUNK], distance):
            yield order[left], order[right]


def _shifted(codes: Codes, start: int, behind: Rows, distance: int) -> Iterator[Pairs]:
    """Yield close pairs of a chunk's codes and those behind them: all next ones first, then all next but one.

    Args:
        codes: all codes, in order of their buckets.
        start: where the chunk begins.
        behind: how many codes of its bucket stand behind each code of the chunk.
        distance: most bits that may differ.
    """
    own = codes[start : start + len(behind)]
    longest = int(behind.max())
    for shift in range(1, longest + 1):
        if shift & SOME == 1:
            reach = np.flatnonzero(behind >= shift)
            is_full = len(reach) > len(behind) // FEW
        if is_full:  # comparing neighbours beyond the bucket is cheaper than picking out those within
            others = codes[start + shift : start + shift + len(own)]
            differ = np.bitwise_count(own[: len(others)] ^ others)
            places = np.flatnonzero(differ <= distance) if differ.size and differ.min() <= distance else NOWHERE
        else:
            reach = reach[behind[reach] >= shift]
            differ = np.bitwise_count(own[reach] ^ codes[start + shift + reach])
            places = reach[differ <= distance]
        if len(places):
            yield start + places, start + shift + places


def _neighbours(codes: Codes, bits: int, distance: int) -> Iterator[Pairs]:
    """Yield close pairs among neighbours in order of value, where each group of bits in turn counts least."""
    for turn in range(0, bits, -(-bits // TURNS)):
        turned = codes >> np.uint64(turn) | (codes & np.uint64((1 << turn) - 1)) << np.uint64(bits - turn)
        order = np.argsort(turned, kind="stable")
        ordered = turned[order]
        for shift in range(1, min(WINDOW, len(codes) - 1) + 1):
            close = np.flatnonzero(np.bitwise_count(ordered[shift:] ^ ordered[:-shift]) <= distance)
            yield order[close], order[close + shift]
