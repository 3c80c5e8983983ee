"""How long finding near-duplicates among millions of perceptual hashes takes, in how much memory, and what it finds.

    python -m bench.dedupe [--rows 10000000] [--distance 6] [--crowd 1000000]

The whole survey of ``dedupe`` runs as in a run, over parts of generated rows: ids, digests of files and hashes. Hashes
are random with 32 of 64 bits set, as ``imagehash.phash`` makes them. Planted are copies of a hundredth of the
rows, with 1 to ``distance`` bits changed, and a crowd of rows with one and the same hash, as blank images have.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedupe import Dedupe, DedupeConfig

PART_ROWS = 10_000
DRAWN_AT_ONCE = 100_000
BITS = 64


def balanced(count: int, random: np.random.Generator) -> NDArray[np.uint64]:
    """Return random 64-bit codes with 32 bits set, (count,)."""
    drawn = []
    for start in range(0, count, DRAWN_AT_ONCE):
        order = random.random((min(DRAWN_AT_ONCE, count - start), BITS)).argpartition(BITS // 2, axis=1)
        bits = np.zeros(order.shape, bool)
        np.put_along_axis(bits, order[:, : BITS // 2], values=True, axis=1)
        drawn.append(np.packbits(bits, axis=1).view(np.uint64)[:, 0])
    return np.concatenate(drawn)


def planted(originals: NDArray[np.uint64], distance: int, random: np.random.Generator) -> NDArray[np.uint64]:
    """Return copies of codes with 1 to ``distance`` of their bits changed."""
    order = random.random((len(originals), BITS)).argsort(axis=1)[:, :distance].astype(np.uint64)
    bits = np.uint64(1) << order
    changed = np.arange(distance) < random.integers(1, distance + 1, len(originals))[:, None]
    flips: NDArray[np.uint64] = np.bitwise_or.reduce(np.where(changed, bits, np.uint64(0)), axis=1)
    return originals ^ flips


def parts(codes: NDArray[np.uint64]) -> Iterator[pa.Table]:
    """Yield rows with these hashes, no two with the same file."""
    for start in range(0, len(codes), PART_ROWS):
        rows = range(start, min(start + PART_ROWS, len(codes)))
        yield pa.table({
            "id": [f"sample-{row:09d}" for row in rows],
            "sha256": [f"{row * 0x9E3779B97F4A7C15 % 2**64:016x}{row:048x}" for row in rows],
            "phash": [f"{code:016x}" for code in codes[rows.start : rows.stop].tolist()],
            **{name: pa.array([300] * len(rows), pa.int32()) for name in
               ("original_width", "original_height", "width", "height")},
            "clip_score": pa.array([0.3] * len(rows), pa.float32()),
            "license": pa.array(["CC0-1.0"] * len(rows)),
        })


def main() -> None:
    """Print time, memory, and what became of the planted rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--distance", type=int, default=6)
    parser.add_argument("--crowd", type=int, default=1_000_000)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    copies = given.rows // 100
    codes = balanced(given.rows - copies - given.crowd, random)
    codes = np.concatenate([codes, np.zeros(given.crowd, np.uint64), planted(codes[:copies], given.distance, random)])
    stage = Dedupe(DedupeConfig(use="dedupe", near=given.distance))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    found = stage.survey(parts(codes))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{given.rows:,} rows, distance {given.distance}: {wall:.0f} s, {cpu:.0f} s of CPU; "
          f"peak memory {peak / 2**20:.2f} GiB, of which before {base / 2**20:.2f}")
    report(found, given.rows - copies - given.crowd, copies, given.crowd)


def report(found: pa.Table, originals: int, copies: int, crowd: int) -> None:
    """Print how many of the planted rows are in the cluster they belong to, and who else is in one."""
    rows, cluster = (_numbers(found[name]) for name in ("id", "cluster"))
    of = np.full(originals + crowd + copies, -1)
    of[rows] = cluster
    right = of[originals + crowd :] == of[:copies]
    joined = (of[:copies] >= 0) & right
    alone = of[copies:originals]
    print(f"planted copies found: {joined.sum():,} of {copies:,} (recall {joined.mean():.5f})")
    together = (of[originals : originals + crowd] == originals).sum()
    print(f"crowd of equal hashes: {together:,} of {crowd:,} in one cluster")
    print(f"rows without a planted copy that are in a cluster: {(alone >= 0).sum():,} of {len(alone):,} "
          f"({(alone >= 0).mean():.6f})")


def _numbers(ids: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.array([int(text[len("sample-"):]) for text in ids.to_pylist()], np.int64)


if __name__ == "__main__":
    main()
