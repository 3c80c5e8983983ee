"""Which row of each cluster is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import FatalError
from stages.duplicates.clusters import Labels
from stages.duplicates.hamming import Rows
from stages.duplicates.search import KINDS, Kind

__all__ = ["best_rows", "duplicated", "license_rank", "reasons", "resolution", "score_rank"]


def duplicated(labels: Labels) -> Rows:
    """Return the rows that are not alone in their cluster, (n,), in order."""
    sizes = np.bincount(labels, minlength=len(labels))
    return np.flatnonzero(sizes[labels] > 1)


def best_rows(labels: Labels, ranks: Sequence[pa.Array], ids: pa.Array) -> Labels:
    """Return for each row the best one of its cluster, (rows,): the highest by the first rank, then by the second,
    and so on; a missing value is below every other, and among equals the smallest id is the best.

    Args:
        labels: the first row of each row's cluster, (rows,).
        ranks: columns of numbers, of all rows.
        ids: the rows' ids.
    """
    rows = duplicated(labels)
    names = [f"rank{number}" for number in range(len(ranks))]
    few = pa.array(rows)
    table = pa.table([pa.array(labels[rows]), *(rank.take(few) for rank in ranks), ids.take(few), few],
                     names=["label", *names, "id", "row"])
    keys = [(name, "descending" if name in names else "ascending", "at_end") for name in ("label", *names, "id")]
    table = table.take(pc.sort_indices(table, sort_keys=keys))
    clusters, first = np.unique(table["label"].to_numpy(), return_index=True)
    best = np.arange(len(labels), dtype=np.int32)
    best[clusters] = table["row"].to_numpy()[first]
    return best[labels]


def reasons(rows: Rows, kept: Labels, labels: Mapping[Kind, Labels]) -> list[str | None]:
    """Return why each row is not kept: the strictest kind whose cluster holds it and the kept one; None where it is.

    Args:
        rows: the rows, (n,).
        kept: the row kept of each one's cluster, (n,).
        labels: the clusters of each kind.
    """
    why = np.full(len(rows), None, object)
    for kind in reversed(KINDS):
        why[labels[kind][rows] == labels[kind][kept]] = f"duplicate_{kind}"
    why[rows == kept] = None
    return list(why)


def score_rank(table: pa.Table, column: str) -> pa.ChunkedArray:
    """Return a column of numbers; raises FatalError where it holds something else."""
    type_ = table.schema.field(column).type
    if not (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
        raise FatalError(f"score = {column}: holds {type_}, not numbers")
    return table[column].cast(pa.float64())


def resolution(table: pa.Table) -> pa.ChunkedArray:
    """Return the pixels of each image as it came; as it was kept, where nothing else is known."""
    sides = [pc.coalesce(table[f"original_{side}"], table[side]).cast(pa.int64()) for side in ("width", "height")]
    return pc.multiply(*sides)


def license_rank(table: pa.Table, order: Sequence[str]) -> pa.ChunkedArray:
    """Return how good each licence is: 0 for the first of ``order``, less for each next; null where none is stated."""
    place = pc.coalesce(pc.index_in(table["license"], value_set=pa.array(order, pa.string())), len(order))
    return pc.if_else(table["license"].is_valid(), pc.negate(place.cast(pa.int64())), None)
