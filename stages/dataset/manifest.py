"""``manifest.json``: every shard of a dataset with its rows, bytes and hash; the last file to be written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MANIFEST", "REJECTS_FILE", "DatasetFile", "Manifest", "describe_file", "describe_rejects", "read_manifest"]

MANIFEST = "manifest.json"
REJECTS_FILE = "rejects.parquet"


class DatasetFile(BaseModel):
    """A file of the dataset.

    Attributes:
        file: its path in the dataset's folder, with slashes.
        rows: rows in it.
        bytes: its length.
        sha256: hash of its content, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    file: str
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a dataset's folder holds.

    Attributes:
        version: of the manifest's own form.
        format: ``arrow``: as ``datasets.save_to_disk`` lays it out; ``parquet``: as the hub does.
        splits: the shards of each split, both in the order of their rows.
        rejects: ``rejects.parquet``, where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    format: Literal["arrow", "parquet"]
    splits: dict[str, list[DatasetFile]]
    rejects: DatasetFile | None = None

    def to_json(self) -> bytes:
        """Return the file's content."""
        return f"{json.dumps(self.model_dump(), indent=1)}\n".encode()

    @property
    def files(self) -> list[DatasetFile]:
        """Every file it names."""
        return [*(shard for shards in self.splits.values() for shard in shards), *filter(None, [self.rejects])]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the dataset in ``folder``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no manifest.
    """
    return Manifest.model_validate_json((folder / MANIFEST).read_bytes())


def describe_file(folder: Path, file: str, rows: int) -> DatasetFile:
    """Measure and hash a file of the dataset in ``folder``."""
    with open(folder / file, "rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return DatasetFile(file=file, rows=rows, bytes=(folder / file).stat().st_size, sha256=sha256)


def describe_rejects(folder: Path) -> DatasetFile | None:
    """Measure and hash ``rejects.parquet``, where there is one."""
    if not (folder / REJECTS_FILE).is_file():
        return None
    return describe_file(folder, REJECTS_FILE, pq.read_metadata(folder / REJECTS_FILE).num_rows)
