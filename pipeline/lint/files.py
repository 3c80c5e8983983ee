"""Whether the files are the ones the manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.lint.problems import Report
from schemas.columns import REJECTS
from schemas.errors import FatalError
from stages.dataset.manifest import MANIFEST, REJECTS_FILE, DatasetFile, Manifest, describe_file, read_manifest
from stages.dataset.reading import find_shards

__all__ = ["check_files", "check_rejects"]

SHARDS = ("*/*.arrow", "data/*.parquet")
"""Where shards are."""


def check_files(folder: Path, report: Report) -> Mapping[str, list[str]]:
    """Compare manifest, index and files; hash every file.

    Returns:
        The shards of each split that can be read, relative to the folder.
    """
    manifest = _manifest(folder, report)
    try:
        found = find_shards(folder)
    except (FatalError, KeyError, TypeError) as error:
        report.add("dataset_dict.json", "index", f"cannot be read: {error}")
        found = {}
    indexed = {
        split: [shard.relative_to(folder).as_posix() for shard in shards] for split, shards in found.items()
    }
    named = indexed
    if manifest is not None:
        named = {split: [shard.file for shard in shards] for split, shards in manifest.splits.items()}
        if indexed and manifest.format == "arrow" and indexed != named:
            report.add("dataset_dict.json", "index", "the index names other shards or splits than the manifest")
        for file in manifest.files:
            _check_file(folder, file, report)
    known = {name for names in named.values() for name in names}
    for name in sorted(file.relative_to(folder).as_posix() for pattern in SHARDS for file in folder.glob(pattern)):
        if name not in known:
            report.add(name, "extra", f"neither {MANIFEST} nor the index names it")
    if manifest is None:
        for name in sorted(known):
            if not (folder / name).is_file():
                report.add(name, "missing", "the index names it")
    return {split: [name for name in names if _inside(folder, name)] for split, names in named.items()}


def check_rejects(folder: Path, report: Report) -> None:
    """Check that ``rejects.parquet``, where there is one, can be read and is what it is called."""
    file = folder / REJECTS_FILE
    if not file.is_file():
        return
    try:
        with pq.ParquetFile(file) as rejects:
            if not rejects.schema_arrow.equals(REJECTS):
                report.add(REJECTS_FILE, "schema", f"has the columns {', '.join(rejects.schema_arrow.names)}")
            for batch in rejects.iter_batches():
                batch.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        report.add(REJECTS_FILE, "readable", str(error).splitlines()[0])


def _manifest(folder: Path, report: Report) -> Manifest | None:
    try:
        return read_manifest(folder)
    except FileNotFoundError:
        report.add(MANIFEST, "missing", "there is no manifest, so that no hash can be checked")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        report.add(MANIFEST, "manifest", f"{place + ': ' if place else ''}{first['msg']}")
    return None


def _inside(folder: Path, name: str) -> bool:
    file = folder / name
    return file.is_file() and file.resolve().is_relative_to(folder)


def _check_file(folder: Path, named: DatasetFile, report: Report) -> None:
    file = folder / named.file
    if not file.resolve().is_relative_to(folder):
        report.add(named.file, "manifest", "is outside the dataset's folder")
        return
    if not _inside(folder, named.file):
        report.add(named.file, "missing", "the manifest names it")
        return
    found = describe_file(folder, named.file, named.rows)
    if found.bytes != named.bytes:
        what = "cut short" if found.bytes < named.bytes else "too long"
        report.add(named.file, "bytes", f"{what}: {found.bytes} bytes, the manifest says {named.bytes}")
    elif found.sha256 != named.sha256:
        report.add(named.file, "sha256", f"damaged: is {found.sha256}, the manifest says {named.sha256}")
    if named.file == REJECTS_FILE:
        _check_reject_rows(file, named.rows, report)


def _check_reject_rows(file: Path, rows: int, report: Report) -> None:
    try:
        found = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError):
        return  # check_rejects tells
    if found != rows:
        report.add(REJECTS_FILE, "rows", f"has {found} rows, the manifest says {rows}")
