"""From the gathered columns to clusters: the same file, then nearly the same image, then much the same content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from stages.duplicates.clusters import Clusters, Labels
from stages.duplicates.columns import HexColumn, VectorColumn
from stages.duplicates.cosine import similar_pairs
from stages.duplicates.hamming import Codes, Rows, close_pairs

__all__ = ["KINDS", "Kind", "find_clusters", "join_near", "join_same"]

Kind = Literal["exact", "near", "semantic"]
KINDS: tuple[Kind, ...] = ("exact", "near", "semantic")
"""From the strictest to the loosest."""


def find_clusters(
    rows: int,
    exact: HexColumn | None,
    near: tuple[HexColumn, int] | None,
    semantic: tuple[VectorColumn, float] | None,
) -> Mapping[Kind, Labels]:
    """Return for each kind the clusters that it and the stricter kinds make: each row's first row, (rows,).

    Args:
        rows: how many rows there are.
        exact: digests of the files, two words each; None: not compared.
        near: perceptual hashes, one word each, and the most bits that may differ.
        semantic: embeddings, and the least cosine. Of a cluster of stricter kinds only the first embedding is compared.
    """
    clusters = Clusters(rows)
    found: dict[Kind, Labels] = {}
    if exact:
        join_same(clusters, *exact.gathered())
    found["exact"] = clusters.labels()
    if near:
        _join_near(clusters, *near)
    found["near"] = clusters.labels()
    if semantic:
        _join_similar(clusters, *semantic)
    found["semantic"] = clusters.labels()
    return found


def join_same(clusters: Clusters, rows: Rows, words: Codes) -> None:
    """Join rows whose words are equal.

    Args:
        clusters: what is joined.
        rows: the rows' numbers, (n,).
        words: their words, (n, words).
    """
    order = np.lexsort(words.T)
    same = np.ones(max(0, len(order) - 1), bool)
    for column in words.T:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    rows = rows[order]
    clusters.join(rows[:-1][same], rows[1:][same])


def join_near(clusters: Clusters, rows: Rows, codes: Codes, distance: int) -> None:
    """Join rows whose codes differ in at most ``distance`` bits.

    Args:
        clusters: what is joined.
        rows: the rows' numbers, (n,).
        codes: their perceptual hashes, (n,).
        distance: most bits that may differ.
    """
    join_same(clusters, rows, codes[:, None])
    order = np.argsort(codes, kind="stable")
    rows, codes = rows[order], codes[order]
    distinct = np.ones(len(codes), bool)
    distinct[1:] = codes[1:] != codes[:-1]
    rows, codes = rows[distinct], codes[distinct]
    for left, right in close_pairs(codes, distance):
        clusters.join(rows[left], rows[right])


def _join_near(clusters: Clusters, column: HexColumn, distance: int) -> None:
    rows, words = column.gathered()
    join_near(clusters, rows, words[:, 0], distance)


def _join_similar(clusters: Clusters, column: VectorColumn, threshold: float) -> None:
    rows, vectors = column.gathered()
    first = np.sort(np.unique(clusters.labels()[rows], return_index=True)[1])
    for left, right in similar_pairs(vectors, first, threshold):
        clusters.join(rows[left], rows[right])
