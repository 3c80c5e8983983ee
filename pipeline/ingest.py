"""Write the source into the run directory, once, in canonical parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa

from pipeline.digest import digest, json_digest, row_digests
from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from pipeline.sources import read_source, source_files
from pipeline.sources.canonical import SourceRow
from schemas.columns import BOOKKEEPING, SOURCE
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake
from schemas.report import PartReport

__all__ = ["SOURCE_REASONS", "ingest"]

SOURCE_REASONS = {
    "bad_row": "the source's row cannot be read, or a value in it is not what its column needs",
    "duplicate_id": "an earlier row has the same id",
}


def ingest(run: RunDirectory, config: SourceConfig) -> None:
    """Write the source's parts, unless the same source is there already.

    A row that cannot be read keeps its place, rejected. A changed source is written anew, without an index until
    all of it is there; later stages then recompute only the rows that differ.
    """
    fingerprint = _fingerprint(config)
    if run.source().get("fingerprint") == fingerprint:
        return
    parts = rows = 0
    for part, chunk in enumerate(_chunks(_numbered(read_source(config)), config.part_rows)):
        if part == 0:
            run.forget_source()
        _write_part(run, part, chunk)
        parts, rows = part + 1, rows + len(chunk)
    if rows == 0:
        raise ConfigError("source", [Mistake("source.path", ", ".join(config.path), "holds no rows")])
    run.write_source({"fingerprint": fingerprint, "parts": parts, "rows": rows})


def _fingerprint(config: SourceConfig) -> str:
    """A source file is known by its path, size and time of change: hashing a large table costs more than reading."""
    stamps = []
    for file in source_files(config):
        info = fsspec.core.url_to_fs(file)[0].info(file)
        stamps.append([file, info.get("size"), str(info.get("mtime") or info.get("LastModified"))])
    return json_digest([config.model_dump(), stamps])


def _chunks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _numbered(rows: Iterator[SourceRow]) -> Iterator[dict[str, Any]]:
    """Give every row an id of its own: the source's, else its number."""
    seen: set[bytes] = set()
    for number, row in enumerate(rows):
        name = str(row.values.get("id") or f"{number:09d}")
        key = digest([name.encode()])
        values = {**row.values, "id": name}
        reason, detail = (row.reject.reason, row.reject.detail) if row.reject else (None, None)
        if key in seen:
            values["id"] = f"{name}#{number}"
            seen.add(digest([values["id"].encode()]))
            reason, detail = reason or "duplicate_id", detail or f"{name} stands on an earlier row"
        seen.add(key)
        yield {**values, "_reason": reason, "_detail": detail, "_live": reason is None}


def _write_part(run: RunDirectory, part: int, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=pa.schema([*SOURCE, *BOOKKEEPING]))
    position = table.schema.get_field_index("_digest")
    digests = pa.array(row_digests(table.select(SOURCE.names)), pa.binary(16))
    table = table.set_column(position, table.schema.field(position), digests)
    reasons = [row["_reason"] for row in rows]
    report = PartReport(
        rows=len(rows),
        entered=len(rows),
        kept=reasons.count(None),
        rejected={reason: reasons.count(reason) for reason in reasons if reason is not None},
        computed=len(rows),
    )
    replaces = run.report(SOURCE_FOLDER, part) is not None
    run.commit(SOURCE_FOLDER, part, table, report, replaces=replaces, durable=False)
