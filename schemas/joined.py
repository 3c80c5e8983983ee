"""Columns of many Arrow files of one kind, read together.

To open an Arrow file takes several times as long as to read a small one. What stands in it between magic number and
footer is a stream: the schema, then the record batches
(https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format). So of small files the batches are put together
behind one schema, and opened as one stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import pyarrow as pa

from schemas.storage import Storage

__all__ = ["read_joined"]

MAGIC = b"ARROW1"
START = len(MAGIC) + 2
"""Where the stream begins: behind the magic number, filled up to 8 bytes."""
PREFIX = 8
"""Bytes before a message: a mark, and how many bytes follow."""
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end of the stream."""
TAIL = 4 + len(MAGIC)
"""Bytes behind the footer: how long it is, and the magic number again."""
THREADS = 16
"""Remote files that are read at once."""


def read_joined(storage: Storage, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Return columns of files that ``Storage.write_table`` has written, one after the other, a chunk each.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged, or has no such column.
    """
    tables: list[pa.Table] = []
    streams = zip(names, map(_stream, storage.read_small(names)), strict=True)
    for schema, files in groupby(streams, key=lambda file: file[1][0]):
        if schema:
            tables.append(_open(schema, [batches for _, (_, batches) in files], columns))
        else:
            tables += _one_by_one(storage, [name for name, _ in files], columns)
    return pa.concat_tables(tables)


def _stream(file: bytes | None) -> tuple[bytes, memoryview]:
    """Return the stream of a file: its schema, and its record batches. Both are empty where the file was not read, or
    is not laid out as expected."""
    if file is None or not (file.startswith(MAGIC) and file.endswith(MAGIC)):
        return b"", memoryview(b"")
    schema = START + PREFIX + int.from_bytes(file[START + 4 : START + PREFIX], "little")
    footer = len(file) - TAIL - int.from_bytes(file[-TAIL : -len(MAGIC)], "little")
    end = footer - len(END)
    is_as_expected = START < schema < end and file[end:footer] == END
    return (file[START:schema], memoryview(file)[schema:end]) if is_as_expected else (b"", memoryview(b""))


def _open(schema: bytes, batches: Sequence[memoryview], columns: Sequence[str]) -> pa.Table:
    names = pa.ipc.read_schema(pa.py_buffer(schema)).names
    options = pa.ipc.IpcReadOptions(included_fields=[names.index(column) for column in columns])
    table = pa.ipc.open_stream(pa.py_buffer(b"".join([schema, *batches])), options=options).read_all()
    return table.select(columns)


def _one_by_one(storage: Storage, names: Sequence[str], columns: Sequence[str]) -> Iterator[pa.Table]:
    if storage.is_local:
        return (storage.read_columns(name, columns) for name in names)
    with ThreadPoolExecutor(THREADS) as threads:
        return threads.map(lambda name: storage.read_columns(name, columns), names)
