"""Finds rows of a large survey by id without a copy of it: by binary search in a column that is mapped to memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["ID_KEY", "find_ids", "sorted_by_id"]

ID_KEY = "id_key"
"""Column of 64-bit digests of the ids, ascending."""
ABSENT = -1


def _keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in ids)
    return np.frombuffer(b"".join(digests), np.uint64)


def sorted_by_id(table: pa.Table) -> pa.Table:
    """Return a table with a column ``id``, each id once, in the order ``find_ids`` needs, with its keys."""
    keys = _keys(table["id"].to_pylist())
    order = np.argsort(keys, kind="stable")
    return table.take(pa.array(order)).append_column(ID_KEY, pa.array(keys[order])).combine_chunks()


def find_ids(table: pa.Table, ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return where each id stands in a table of ``sorted_by_id``, (ids,); -1 where it does not.

    It costs a binary search an id, whatever the table's length, where a hash table would be made for every batch.
    """
    known, wanted = table[ID_KEY].combine_chunks().to_numpy(), ids.to_pylist()
    keys = _keys(wanted)
    places = np.searchsorted(known, keys)
    for row, place in enumerate(places):
        while place < len(known) and known[place] == keys[row] and table["id"][place].as_py() != wanted[row]:
            place += 1  # two ids with one digest
        places[row] = place if place < len(known) and known[place] == keys[row] else ABSENT
    return places
