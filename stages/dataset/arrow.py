"""One shard in Arrow's stream format, which ``datasets`` maps."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

__all__ = ["ArrowShard"]

END_BYTES: Final = 8
"""What Arrow writes behind the last record batch."""


class ArrowShard:
    """Writes each table as one record batch.

    Args:
        stream: where to; it stays open.
        schema: of the rows; ``datasets``' features in its metadata are kept.
    """

    def __init__(self, stream: pa.NativeFile, schema: pa.Schema) -> None:
        self.stream = stream
        self._writer = pa.ipc.new_stream(stream, schema)
        self._schema_bytes = schema.serialize().size

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._writer.write_table(table)

    def size_with(self, table: pa.Table) -> int:
        """Return how long the file would be if it held these rows too."""
        batches = table.to_batches()
        begun = self.stream.tell() or self._schema_bytes  # Arrow writes the schema with the first batch
        return int(begun + sum(map(pa.ipc.get_record_batch_size, batches)) + END_BYTES)

    def finish(self) -> None:
        """Write the end."""
        self._writer.close()
