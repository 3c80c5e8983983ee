"""Writes the dataset's shards, each whole and by itself, so that workers can write them beside each other.

Every row has a number: rows of the first part, then of the second. What is to be written is an array of such numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.base import Map
from stages.dataset.cutting import Cut, cut
from stages.dataset.files import FileFormat, shard_name, write_shard
from stages.dataset.manifest import DatasetFile
from stages.dataset.sizes import Overhead
from stages.dataset.survey import RunRows, Survey

__all__ = ["Layout", "write_splits"]

MOST_SPILLED: Final = 1024
"""Files that the rows are sorted into before a shuffle: each is opened for every shard."""
SPILLED_UNITS: Final = 4
"""Units in such a file, where so many files are enough."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """What the shards are to be.

    Attributes:
        folder: the dataset's.
        splits: names of the splits, in order.
        format: of the shards.
        max_shard_bytes: no shard gets longer, unless its only row is.
        overhead: of the format.
        shuffled: whether the rows leave the order they have in the run.
        unit_bytes: what a worker has in memory of the rows at once, a few times over; no shard depends on it.
    """

    folder: Path
    splits: Sequence[str]
    format: FileFormat
    max_shard_bytes: int
    overhead: Overhead
    shuffled: bool
    unit_bytes: int = 16 << 20


class Piece(Protocol):
    """Some rows that follow each other."""

    def batch(self, rows: Numbers, schema: pa.Schema) -> pa.RecordBatch:
        """Return some of them, counted from the first, in ascending order."""


class Source(Protocol):
    """Where the rows are.

    Attributes:
        schema: of the rows.
        starts: the number of each piece's first row.
    """

    @property
    def schema(self) -> pa.Schema: ...
    @property
    def starts(self) -> Numbers: ...

    def open(self, piece: int) -> Piece:
        """Return a piece."""


class Parts:
    """The rows in a run's parts."""

    def __init__(self, rows: RunRows, numbers: Sequence[int], part_rows: Numbers) -> None:
        self.rows, self.numbers, self.schema = rows, numbers, rows.schema
        self.starts = np.cumsum(part_rows) - part_rows

    def open(self, piece: int) -> Piece:
        """Return the rows of a part."""
        return self.rows.open(self.numbers[piece])


@dataclass(frozen=True)
class Spilled:
    """The rows in Arrow files, in the order of the shards that are to be written; each record batch is a piece.

    Attributes:
        files: the number of each file's first piece.
    """

    folder: Path
    schema: pa.Schema
    starts: Numbers
    files: Numbers

    def open(self, piece: int) -> Piece:
        """Map a record batch."""
        file = int(np.searchsorted(self.files, piece, "right")) - 1
        with pa.memory_map(str(self.folder / str(file))) as stream, pa.ipc.open_file(stream) as reader:
            return SpilledRows(reader.get_batch(piece - self.files[file]))


@dataclass(frozen=True)
class SpilledRows:
    """The rows of one record batch."""

    rows: pa.RecordBatch

    def batch(self, rows: Numbers, schema: pa.Schema) -> pa.RecordBatch:
        """Return rows that follow each other, as those of one shard do here."""
        return self.rows.slice(rows[0], len(rows))


@dataclass(frozen=True)
class Task:
    """A file to be written: its rows, and how they are cut into batches."""

    file: str
    rows: Numbers
    cut: Cut


def write_splits(rows: RunRows, known: Survey, layout: Layout, apply: Map) -> dict[str, list[DatasetFile]]:
    """Write the shards of every split, and return them in order.

    Args:
        rows: the run's rows.
        known: the survey of all its parts.
        layout: what the shards are to be.
        apply: calls a function for each of several tasks, here or on workers.
    """
    order = np.lexsort((known.keys, known.splits))
    source: Source = Parts(rows, rows.run.parts(), known.part_rows)
    numbers: Numbers = order
    scratch = layout.folder / ".rows"
    if layout.shuffled:
        source, numbers = _spill(source, known, order, scratch, layout.unit_bytes, apply)
    tasks = []
    ends = np.searchsorted(known.splits[order], np.arange(len(layout.splits) + 1))
    for split, start, end in zip(layout.splits, ends, ends[1:], strict=False):
        cuts = cut(known.sizes[order[start:end]], layout.max_shard_bytes, layout.overhead)
        for number, each in enumerate(cuts):
            name = shard_name(layout.format, split, number, len(cuts))
            tasks.append((split, Task(name, numbers[start:end][each.rows], each)))
    written = apply(partial(_write_shard, source, layout), [task for _, task in tasks])
    shards: dict[str, list[DatasetFile]] = {split: [] for split in layout.splits}
    for (split, _), shard in zip(tasks, written, strict=True):
        shards[split].append(shard)
    if layout.shuffled:
        shutil.rmtree(scratch)
    return shards


def _spill(
    source: Source, known: Survey, order: Numbers, scratch: Path, unit_bytes: int, apply: Map
) -> tuple[Source, Numbers]:
    """Write the rows into files, each of which holds those of neighbouring parts in the order of ``order``.

    Then the rows of a shard, which stand all over the run, follow each other in each of a bounded number of files.

    Returns:
        The files, and the numbers that the rows in the order of ``order`` have there.
    """
    ends = np.concatenate([[0], np.cumsum(known.sizes)])
    file_bytes = max(SPILLED_UNITS * unit_bytes, int(ends[-1]) // MOST_SPILLED)
    file_of_part = ends[source.starts] // file_bytes
    file_of_row = np.unique(np.repeat(file_of_part, known.part_rows), return_inverse=True)[1]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    spilled = np.lexsort((rank, file_of_row))
    first_rows = np.searchsorted(file_of_row[spilled], np.arange(file_of_row.max(initial=-1) + 1))
    tasks, batches, files = list[Task](), [0], list[int]()
    for number, rows in enumerate(np.split(spilled, first_rows[1:])):
        (whole,) = cut(known.sizes[rows], 1 << 62, Overhead(0, 0, 0))
        tasks.append(Task(str(number), rows, whole))
        files.append(len(batches) - 1)
        batches += whole.batches
    scratch.mkdir(parents=True)
    for _ in apply(partial(_write_spilled, source, scratch, unit_bytes), tasks):
        pass
    place = np.empty_like(order)
    place[spilled] = np.arange(len(order))
    return Spilled(scratch, source.schema, np.cumsum(batches[:-1]), np.array(files)), place[order]


def _write_spilled(source: Source, scratch: Path, unit_bytes: int, task: Task) -> None:
    with pa.OSFile(str(scratch / task.file), "wb") as stream, pa.ipc.new_file(stream, source.schema) as writer:
        for batch in _batches(source, task, unit_bytes):
            writer.write_table(batch)


def _write_shard(source: Source, layout: Layout, task: Task) -> DatasetFile:
    batches = _batches(source, task, layout.unit_bytes)
    return write_shard(layout.folder, task.file, layout.format, source.schema, batches)


def _batches(source: Source, task: Task, unit_bytes: int) -> Iterator[pa.Table]:
    """Yield the rows of a task, batch by batch, while a thread reads the next one."""
    batches = _read(source, task, unit_bytes)
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _read(source: Source, task: Task, unit_bytes: int) -> Iterator[pa.Table]:
    """Yield the rows of a task, batch by batch, reading as many batches at once as are a unit.

    A piece is open from the first unit that has rows of it to the last.
    """
    piece_of = np.searchsorted(source.starts, task.rows, "right") - 1
    last = dict(zip(piece_of.tolist(), range(len(piece_of)), strict=True))
    opened = dict[int, Piece]()
    end = 0
    for batches in _units(task.cut, unit_bytes):
        start, end = end, end + sum(batches)
        rows, pieces, found = task.rows[start:end], piece_of[start:end], list[pa.RecordBatch]()
        for piece in np.unique(pieces).tolist():
            if piece not in opened:
                opened[piece] = source.open(piece)
            found.append(opened[piece].batch(np.sort(rows[pieces == piece]) - source.starts[piece], source.schema))
        opened = {piece: each for piece, each in opened.items() if last[piece] >= end}
        together = pa.Table.from_batches(found).combine_chunks()
        for batch in np.split(np.argsort(np.argsort(rows)), np.cumsum(batches)[:-1]):
            yield together.take(pa.array(batch))  # never a slice, whose buffers depend on what stands around it


def _units(whole: Cut, unit_bytes: int) -> Iterator[list[int]]:
    """Yield the rows of each batch, of as many batches as are ``unit_bytes`` together."""
    unit, size = list[int](), 0
    for rows, bytes_ in zip(whole.batches, whole.batch_bytes, strict=True):
        if unit and size + bytes_ > unit_bytes:
            yield unit
            unit, size = [], 0
        unit.append(rows)
        size += bytes_
    if unit:
        yield unit
