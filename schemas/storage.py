"""Files of a run directory, on any fsspec file system, each committed whole or not at all."""

from __future__ import annotations

import io
import json
import mmap
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

__all__ = ["Storage"]

BLOCK = 1 << 16
"""Bytes a remote file is read ahead. A file of less is small: to read all of it takes no longer than to open it."""


class Storage:
    """A folder of files, local or remote. Paths given to its methods are relative to the root.

    Args:
        root: a local path or an fsspec URL (``s3://bucket/prefix``).
    """

    def __init__(self, root: str) -> None:
        self.fs, path = fsspec.core.url_to_fs(root)
        self.root: str = str(path).rstrip("/")
        self.url = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.url,)

    def path(self, name: str) -> str:
        """Return the full path of ``name`` on the file system."""
        return f"{self.root}/{name}" if name else self.root

    def folder(self, name: str) -> Storage:
        """Return the folder ``name`` as a storage of its own."""
        return Storage(f"{self.url}/{name}")

    def exists(self, name: str = "") -> bool:
        """Tell whether the file or folder is there."""
        return bool(self.fs.exists(self.path(name)))

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder, sorted; none if there is no such folder."""
        if self.is_local:
            try:
                with os.scandir(self.path(folder)) as entries:
                    return sorted(entry.name for entry in entries)
            except (FileNotFoundError, NotADirectoryError):
                return []
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path(folder)):
            return []
        listed = self.fs.ls(self.path(folder), detail=False)
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in listed)

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raises FileNotFoundError."""
        with self.fs.open(self.path(name), "rb") as file:
            return bytes(file.read())

    def read_small(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of each of many small files; None for one that is not there, or not small.

        Of a store that can answer several requests at once, they are fetched together.
        """
        if self.is_local:
            return [_read_small(self.path(name)) for name in names]
        paths = [self.path(name) for name in names]
        found = self.fs.cat_ranges(paths, [0] * len(paths), [BLOCK] * len(paths), on_error="return")
        return [_whole(beginning) for beginning in found]

    def write(self, name: str, data: bytes | memoryview, *, durable: bool = True) -> None:
        """Commit a file: a reader sees the old bytes or all of the new ones.

        Locally that is a temporary file beside, fsync, rename; an object store's PUT is atomic by itself.

        Args:
            durable: False leaves out the fsync: after a power cut (not after a kill) the file may be empty, so
                its reader must notice, or ``make_durable`` must follow.
        """
        path = self.path(name)
        if not self.is_local:
            self.fs.pipe_file(path, bytes(data))
            return
        beside = f"{path}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink()
            raise

    def make_durable(self, name: str) -> None:
        """Bring a file written without fsync to the disk; many files one after the other cost little more than one."""
        if self.is_local:
            with open(self.path(name), "rb") as file:
                os.fsync(file.fileno())

    def read_json(self, name: str) -> Any:
        """Return a JSON file's value, or None where there is no such file or a power cut left none in it."""
        try:
            return json.loads(self.read(name))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None

    def write_json(self, name: str, value: Any) -> None:
        """Commit a JSON file, keys sorted."""
        self.write(name, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode())

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return an Arrow IPC file as a table: memory-mapped where it is local, so that unread columns cost nothing; of
        a remote one only the columns' bytes are fetched."""
        if self.is_local:
            table = pa.ipc.open_file(pa.memory_map(self.path(name))).read_all()
        elif columns is None:
            return pa.ipc.open_file(pa.BufferReader(self.read(name))).read_all()
        else:
            return self.read_columns(name, columns)
        return table if columns is None else table.select(columns)

    def read_columns(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Return a copy of columns of an Arrow IPC file, reading the columns' bytes alone."""
        if self.is_local:
            return _copied_columns(self.path(name), columns)
        with self.fs.open(self.path(name), "rb", block_size=BLOCK) as file:
            names = pa.ipc.open_file(file).schema.names
            options = pa.ipc.IpcReadOptions(included_fields=[names.index(column) for column in columns])
            return pa.ipc.open_file(file, options=options).read_all().select(columns)

    def write_table(self, name: str, table: pa.Table, *, durable: bool = True) -> None:
        """Commit a table as an Arrow IPC file of one record batch, so that equal tables give equal bytes."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)
        self.write(name, memoryview(sink.getvalue()), durable=durable)

    def open(self, name: str) -> BinaryIO | io.BufferedReader:
        """Open a file for reading in bytes."""
        return self.fs.open(self.path(name), "rb")  # type: ignore[no-any-return]

    def remove(self, name: str) -> None:
        """Remove a file or folder; nothing happens where there is none."""
        if self.exists(name):
            self.fs.rm(self.path(name), recursive=True)


def _read_small(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        return os.read(descriptor, size) if size < BLOCK else None
    finally:
        os.close(descriptor)


def _whole(beginning: bytes | Exception) -> bytes | None:
    """Return the first ``BLOCK`` bytes of a file where they are all of it."""
    if isinstance(beginning, FileNotFoundError):
        return None
    if isinstance(beginning, Exception):
        raise beginning
    return beginning if len(beginning) < BLOCK else None


def _copied_columns(path: str, columns: Sequence[str]) -> pa.Table:
    """Python's map takes half the time of ``pa.memory_map``, which asks the kernel to read ahead; but as long as it is
    there it holds a descriptor."""
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = pa.ipc.open_file(pa.py_buffer(mapped)).read_all().select(columns)
    return pa.concat_tables([table, table.slice(0, 0)]).combine_chunks()  # what is joined is copied
