"""What must be known of every row before the first is written: its split, its size, its place in a shuffled order; and
what the card tells of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.explode import SampleRows
from stages.dataset.rows import ROW_COLUMNS, conversation_columns
from stages.dataset.sizes import IMAGE_BYTES, Overhead, row_bytes

__all__ = ["RunRows", "Survey", "count", "survey", "total"]


class RunRows:
    """The dataset's rows as a run's parts hold them.

    Args:
        run: the run.
        schema: of the rows.
    """

    def __init__(self, run: RunView, schema: pa.Schema) -> None:
        self.run, self.schema = run, schema
        self.conversations = conversation_columns(run.columns())
        there = run.columns().names
        self.columns = [name for name in (*ROW_COLUMNS, "split") if name in there]

    def open(self, part: int) -> SampleRows:
        """Return the rows of a part."""
        stored, live = self.run.stored(part, [*self.columns, *self.conversations])
        return SampleRows(stored, live, self.conversations)


@dataclass(frozen=True)
class Survey:
    """What is known of the rows of some parts; 18 bytes a row.

    Attributes:
        part_rows: rows of each part.
        splits: the number of each row's split.
        sizes: the bytes each row takes at most.
        keys: what rows are sorted by, after their split; equal where their order stays.
    """

    part_rows: NDArray[np.int64]
    splits: NDArray[np.int16]
    sizes: NDArray[np.int64]
    keys: NDArray[np.uint64]


def survey(
    rows: RunRows, splits: Sequence[str], overhead: Overhead, shuffle_seed: int | None, parts: Sequence[int]
) -> Survey:
    """Look at every row of some parts.

    Args:
        rows: the run's rows.
        splits: the splits' names, in order.
        overhead: of the format that is to be written.
        shuffle_seed: what the rows' keys are drawn from; None keeps their order.
        parts: some of the run's.
    """
    part_rows, of_split, sizes, keys = list[int](), [_empty(np.int16)], [_empty(np.int64)], [_empty(np.uint64)]
    for part in parts:
        exploded = rows.open(part)
        every = np.arange(len(exploded.sample))
        image = pc.fill_null(pc.add(exploded.image_lengths(), IMAGE_BYTES), 0).to_numpy(zero_copy_only=False)
        part_rows.append(len(every))
        sizes.append(row_bytes(exploded.texts(every, rows.schema), overhead) + image[exploded.sample])
        number = pc.index_in(exploded.splits, pa.array(splits)).to_numpy()
        of_split.append(number[exploded.sample].astype(np.int16))
        keys.append(_keys(exploded.ids.to_pylist(), exploded, shuffle_seed))
    return Survey(np.array(part_rows, np.int64), *map(np.concatenate, (of_split, sizes, keys)))


def total(surveys: Sequence[Survey]) -> Survey:
    """Put the surveys of parts that follow each other together."""
    columns = ("part_rows", "splits", "sizes", "keys")
    return Survey(*(np.concatenate([getattr(each, name) for each in surveys]) for name in columns))


def count(rows: RunRows, parts: Sequence[int]) -> Census:
    """Count what is in some parts; only the images of examples are read."""
    census = Census()
    for part in parts:
        exploded = rows.open(part)
        told = exploded.texts(np.arange(len(exploded.sample)), rows.schema).to_pylist()
        splits, pictured = exploded.splits.to_pylist(), exploded.image_lengths().is_valid().to_pylist()
        firsts = np.flatnonzero(exploded.nth == 0).tolist()
        for sample, (first, end) in enumerate(pairwise([*firsts, len(told)])):
            about = told[first:end]
            about[0]["images"] = [{}] if pictured[sample] else []
            if census.count(splits[sample], about):
                about[0]["images"] = exploded.batch(np.array([first]), rows.schema)["images"][0].as_py()
    return census


def _keys(ids: Sequence[str], rows: SampleRows, seed: int | None) -> NDArray[np.uint64]:
    """Draw each row's key from its sample's id and its place there, so that it does not depend on other samples."""
    if seed is None:
        return np.zeros(len(rows.sample), np.uint64)
    names = (f"shuffle:{seed}:{ids[sample]}:{nth}" for sample, nth in zip(rows.sample, rows.nth, strict=True))
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _empty(type_: Any) -> NDArray[Any]:
    return np.empty(0, type_)
