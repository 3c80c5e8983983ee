"""``webdataset``: tar shards for the webdataset library, with the metadata of NVIDIA's Megatron-Energon.

The metadata is what ``energon prepare`` of version 7.4.1 writes for a crude dataset, and what its loader needs; the
SQLite index, which only joins and random access read, is left to that command.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import yaml

from pipeline.export.durable import committed, place
from pipeline.export.pieces import Finished, Format, Piece, PieceWriter
from pipeline.export.rows import Row, read_rows

__all__ = ["ENERGON_VERSION", "Webdataset"]

ENERGON_VERSION = "7.4.1"

ENERGON_SPLITS = {"validation": "val"}
"""Ours -> Energon's, where they differ."""


class Webdataset(Format):
    """``<split>-<number>.tar`` and ``.tar.idx``, and ``.nv-meta/``.

    A sample is ``<split>-<row>.json`` with everything but the image, and ``<split>-<row>.jpg`` (or ``.png``, ...); with
    several images ``<split>-<row>.0.jpg`` and on. Energon's split of ``validation`` is called ``val``.
    """

    suffix = ".tar"
    max_rows = 9_900
    """Loaders shuffle shards and hold few of them at once: fewer than 10,000 samples each."""

    def writer(self, stream: BinaryIO, split: str, number: int) -> PieceWriter:
        """Begin a shard."""
        return _TarWriter(stream, split, self.work / f"{Piece.named(split, number)}.tar.idx")

    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Put the shards and their indices in place, then write Energon's metadata."""
        full = [piece for piece in pieces if piece.rows]
        for piece in full:
            for name in (f"{piece.name}.tar", f"{piece.name}.tar.idx"):
                place(self.work / name, self.folder / name)
        splits: dict[str, list[str]] = {}
        for piece in full:
            splits.setdefault(ENERGON_SPLITS.get(piece.split, piece.split), []).append(f"{piece.name}.tar")
        info = {"energon_version": ENERGON_VERSION, "shard_counts": {f"{piece.name}.tar": piece.rows for piece in full}}
        meta = {
            ".info.json": json.dumps(info, indent=2),
            ".info.yaml": yaml.safe_dump(info, sort_keys=False),
            "split.yaml": yaml.safe_dump({"split_parts": splits, "exclude": []}, sort_keys=False),
            "dataset.yaml": "__module__: megatron.energon\n__class__: CrudeWebdataset\n",
        }
        for name, text in meta.items():
            with committed(self.folder / ".nv-meta" / name) as stream:
                stream.write(text.encode())
        shards: dict[str, Piece | None] = {f"{piece.name}.tar": piece for piece in full}
        others = [*(f"{shard}.idx" for shard in shards), *(f".nv-meta/{name}" for name in meta)]
        return shards | dict.fromkeys(others)


class _TarWriter(PieceWriter):
    """Writes a tar of which no byte depends on when and by whom it was written."""

    def __init__(self, stream: BinaryIO, split: str, index: Path) -> None:
        super().__init__()
        self.split, self.index = split, index
        self.tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)
        self.offsets: list[int] = []

    def write(self, table: pa.Table, first: int) -> None:
        """Append the rows' samples."""
        for row in read_rows(table, self.split, first):
            self.offsets.append(self.tar.offset)
            key = f"{self.split}-{row.number:09d}"
            self._add(f"{key}.json", _text(row))
            for number, picture in enumerate(row.pictures):
                which = f"{number}." if len(row.pictures) > 1 else ""
                self._add(f"{key}.{which}{picture.extension}", picture.content)
            self.rows, self.images = self.rows + 1, self.images + len(row.pictures)
            self.changed += row.changed

    def size(self) -> int:
        """Return the tar's length."""
        return int(self.tar.offset)

    def finish(self) -> None:
        """Finish the tar, and write its index: where each sample begins, and where the last ends."""
        offsets = [*self.offsets, self.tar.offset]
        self.tar.close()
        with committed(self.index) as stream:
            stream.write(struct.pack(f"<{len(offsets)}Q", *offsets))

    def _add(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self.tar.addfile(entry, io.BytesIO(content))


def _text(row: Row) -> bytes:
    messages = [{"role": role, "content": content} for role, content in row.messages]
    value = {"id": row.id, "kind": row.kind, "messages": messages, **row.fields}
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
