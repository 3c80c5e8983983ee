"""How many bytes rows will take in a shard, told before they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.dataset.parquet import ParquetShard

__all__ = ["IMAGE_BYTES", "Overhead", "arrow_overhead", "parquet_overhead", "row_bytes"]

OFFSET_BITS: Final = 32
END_BYTES: Final = 8
"""What Arrow writes behind the last record batch."""
PADDING: Final = 8
"""Bytes by which a buffer may be longer than its rows: one more offset, or part of a byte, up to a multiple of 8."""
GROUP_BYTES_A_COLUMN: Final = 512
"""What a row group has of each column beside its values: page headers, metadata, an index. Measured, 150 to 300."""

IMAGE_BYTES: Final = 24
"""What an image takes beside its own bytes, in either format."""


@dataclass(frozen=True)
class Overhead:
    """What a shard holds beside its rows.

    Attributes:
        head: bytes of a shard without rows.
        batch: bytes of a record batch or row group without rows.
        value_bits: what each value may take beside itself and its length.
    """

    head: int
    batch: int
    value_bits: int


def arrow_overhead(schema: pa.Schema) -> Overhead:
    """Return the overhead of Arrow's stream format."""
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    buffers = sum(len(column.buffers()) for column in empty.columns)
    return Overhead(schema.serialize().size + END_BYTES, pa.ipc.get_record_batch_size(empty) + PADDING * buffers, 0)


def parquet_overhead(schema: pa.Schema) -> Overhead:
    """Return the overhead of a Parquet file: of a value, its levels of nesting and its place in a dictionary."""
    stream = pa.BufferOutputStream()
    ParquetShard(stream, schema).finish()
    file = stream.getvalue()
    columns = len(pq.read_metadata(pa.BufferReader(file)).schema)
    return Overhead(len(file), GROUP_BYTES_A_COLUMN * columns, 24)


def row_bytes(rows: pa.RecordBatch, overhead: Overhead) -> NDArray[np.int64]:
    """Return how many bytes each row takes at most, uncompressed."""
    bits = sum(_bits(column, overhead.value_bits) for column in rows.columns)
    return np.asarray(bits) // 8 + 1


def _bits(array: pa.Array, value_bits: int) -> NDArray[np.int64]:
    """Return the bits of each value: whether it is null, its length, and what it holds."""
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy()
        inside = np.concatenate([[0], np.cumsum(_bits(array.values, value_bits))])
        held: NDArray[np.int64] = inside[offsets[1:]] - inside[offsets[:-1]]
        return held + 1 + OFFSET_BITS + value_bits
    if pa.types.is_struct(array.type):
        fields = [_bits(array.field(place), value_bits) for place in range(array.type.num_fields)]
        return np.add(np.sum(fields, axis=0, dtype=np.int64), 1)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        lengths = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        bits: NDArray[np.int64] = 8 * lengths + 1 + OFFSET_BITS + value_bits
        return bits
    return np.full(len(array), array.type.bit_width + 1 + value_bits, np.int64)
