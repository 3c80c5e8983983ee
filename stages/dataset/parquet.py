"""One Parquet shard, as the hub's viewer and ``datasets``' streaming like it."""

from __future__ import annotations

from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ParquetShard"]

GROUP_ROWS: Final = 100
GROUP_BYTES: Final = 32 << 20
"""A row group is what a reader holds in memory; these are the bounds of the Arrow form's record batches."""


class ParquetShard:
    """Writes rows to a stream, a row group when there are enough.

    Args:
        stream: where to; it stays open.
        schema: of the rows; ``datasets``' features in its metadata are kept.
    """

    def __init__(self, stream: BinaryIO | pa.NativeFile, schema: pa.Schema) -> None:
        self.stream = stream
        # As `datasets` writes for the hub: a page index for its viewer, and pages cut by content, so that the hub
        # stores what two versions of a dataset have in common once. Statistics of texts would tell nothing, as rows
        # are not sorted by any, and repeat whole texts in the footer.
        self._writer = pq.ParquetWriter(
            stream, schema, write_page_index=True, use_content_defined_chunking=True, write_statistics=_numbers(schema)
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self._waiting_bytes += table.nbytes
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self.write_group()

    def write_group(self) -> None:
        """Write the rows that wait as a row group."""
        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def size(self) -> int:
        """Return the bytes written, and of the rows that wait, before they are compressed."""
        return self.stream.tell() + self._waiting_bytes

    def finish(self) -> None:
        """Write the last row group and the footer."""
        self.write_group()
        self.close()

    def close(self) -> None:
        """Close pyarrow's writer, which would otherwise try to when the stream is gone."""
        self._writer.close()


def _numbers(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]
