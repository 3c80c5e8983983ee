"""Digests: of rows, to know what must be computed again; of files, to know which model made a column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

__all__ = ["digest", "json_digest", "path_digest", "row_digests"]

DIGEST_BYTES = 16
CHUNK_BYTES = 1 << 20


def digest(parts: Iterable[bytes]) -> bytes:
    """Return the 16-byte digest of a sequence of byte strings, each with its length."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()


def json_digest(value: Any) -> str:
    """Return the digest of a JSON value as hex, independent of key order."""
    return digest([json.dumps(value, sort_keys=True, default=str).encode()]).hex()


def row_digests(table: pa.Table) -> list[bytes]:
    """Return one digest a row over all columns."""
    columns = [[_value(value) for value in column.to_pylist()] for column in table.columns]
    return [digest(values) for values in zip(*columns, strict=True)] if columns else [digest([])] * table.num_rows


def _value(value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")


def path_digest(path: str) -> str:
    """Return the digest of a model: of a local file's or folder's content, or of the id it has on a hub."""
    root = Path(path)
    if not root.exists():
        return digest([path.encode()]).hex()
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    return digest(
        part for file in files for part in (file.relative_to(root.parent).as_posix().encode(), _file_digest(file))
    ).hex()


def _file_digest(file: Path) -> bytes:
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with open(file, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            state.update(chunk)
    return state.digest()
