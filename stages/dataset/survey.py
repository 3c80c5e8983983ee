"""What must be known of every row before the first is written: its split, its size, its place in a shuffled order; and
what the card tells of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.explode import SampleRows
from stages.dataset.rows import ROW_COLUMNS, conversation_columns, dataset_rows
from stages.dataset.sizes import IMAGE_BYTES, Overhead, row_bytes

__all__ = ["RunRows", "Survey", "count", "survey", "total"]

IMAGE = "image_bytes"


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
        self.columns = [name for name in (*ROW_COLUMNS, "split") if name in there and name != IMAGE]
        self.pictured = IMAGE in there

    def open(self, part: int) -> SampleRows:
        """Return the rows of a part."""
        images = partial(self._images, part) if self.pictured else None
        return SampleRows(self.texts(part), self.conversations, images)

    def texts(self, part: int) -> pa.Table:
        """Return a part's samples without their images."""
        return self.run.table(part, [*self.columns, *self.conversations])

    def image_bytes(self, part: int) -> pa.Array:
        """Return the length of each sample's image, null where it has none; no image is read."""
        if self.pictured:
            return self.run.lengths(part, IMAGE)
        return pa.nulls(self.run.table(part, ["id"]).num_rows, pa.int64())

    def image(self, part: int, sample: int) -> bytes:
        """Return a sample's image."""
        return bytes(self._images(part, np.array([sample]))[0].as_py())

    def _images(self, part: int, samples: NDArray[np.int64]) -> pa.Array:
        return self.run.table(part, [IMAGE], rows=samples)[IMAGE].combine_chunks()


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
        samples, images = rows.texts(part), rows.image_bytes(part)
        exploded = SampleRows(samples, rows.conversations)
        every = np.arange(len(exploded.sample))
        image = pc.fill_null(pc.add(images, IMAGE_BYTES), 0).to_numpy(zero_copy_only=False)
        part_rows.append(len(every))
        sizes.append(row_bytes(exploded.table(every, rows.schema), overhead) + image[exploded.sample])
        number = pc.index_in(samples["split"], pa.array(splits)).to_numpy()
        of_split.append(number[exploded.sample].astype(np.int16))
        keys.append(_keys(samples["id"].to_pylist(), exploded, shuffle_seed))
    return Survey(np.array(part_rows, np.int64), *map(np.concatenate, (of_split, sizes, keys)))


def total(surveys: Sequence[Survey]) -> Survey:
    """Put the surveys of parts that follow each other together."""
    columns = ("part_rows", "splits", "sizes", "keys")
    return Survey(*(np.concatenate([getattr(each, name) for each in surveys]) for name in columns))


def count(rows: RunRows, parts: Sequence[int]) -> Census:
    """Count what is in some parts; only the images of examples are read."""
    census = Census()
    for part in parts:
        samples, images = rows.texts(part).to_pylist(), rows.image_bytes(part).to_pylist()
        for number, (sample, image) in enumerate(zip(samples, images, strict=True)):
            told = list(dataset_rows({**sample, IMAGE: None if image is None else b""}, rows.conversations))
            if census.count(sample["split"], told):
                told[0]["images"][0]["bytes"] = rows.image(part, number)
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
