"""``kind: table``: csv, tsv, jsonl, json, parquet and arrow files, told apart by their names."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources import img2dataset
from pipeline.sources.canonical import BAD_ROW, SourceRow, canonical, rename
from schemas.config import TABLE_FORMATS, SourceConfig, table_format
from schemas.errors import ConfigError, Mistake, Reject, nearest

__all__ = ["check_columns", "read", "read_json", "read_jsonl", "read_parquet"]

Row = Mapping[str, Any] | Reject

MAX_FIELD_BYTES = 1 << 24


def read(files: list[str], config: SourceConfig) -> Iterator[SourceRow]:
    """Yield the rows of every file, in order."""
    for file in files:
        yield from _read_file(file, READERS[table_format(file)](file, config), config)


def _read_file(file: str, rows: Iterator[Row], config: SourceConfig) -> Iterator[SourceRow]:
    folder = str(Path(file).parent)
    try:
        is_first = True
        for row in rows:
            if isinstance(row, Reject):
                yield SourceRow({}, row)
                continue
            if is_first:
                check_columns(file, row, config)
                is_first = False
            yield canonical(_understood(row, file, config), folder)
    except (OSError, pa.ArrowException, ValueError, RecursionError, csv.Error) as error:
        raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error


def _understood(row: Mapping[str, Any], file: str, config: SourceConfig) -> dict[str, Any]:
    """Return the row under our names: those the config gives, then those of img2dataset if it wrote the row."""
    if not img2dataset.is_metadata(row):
        return rename(row, config.columns)
    return img2dataset.renamed(rename(img2dataset.media_beside(row, file), config.columns))


def check_columns(file: str, row: Mapping[str, Any], config: SourceConfig) -> None:
    """A column the config names must be there: an empty dataset is a poor way to learn of a typing error."""
    mistakes = [
        Mistake(f"source.columns.{ours}", str(theirs), f"{file} has no such column{nearest(str(theirs), row)}")
        for ours, theirs in config.columns.items()
        if str(theirs) not in row and not file.endswith((".jsonl", ".json"))
    ]
    if mistakes:
        raise ConfigError(file, mistakes)


def _csv(file: str, config: SourceConfig) -> Iterator[Row]:
    return _delimited(file, ",", config)


def _tsv(file: str, config: SourceConfig) -> Iterator[Row]:
    return _delimited(file, "\t", config)


def _delimited(file: str, delimiter: str, config: SourceConfig) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_BYTES)
    headerless = bool(config.columns) and all(isinstance(theirs, int) for theirs in config.columns.values())
    names: list[str] = []
    with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
        # A caption in a tab-separated file may hold a lone quote: quoting is csv's habit only.
        rows = csv.reader(lines, delimiter=delimiter, quotechar=None if delimiter == "\t" else '"')
        for number, fields in enumerate(rows, start=1):
            if not fields:
                continue
            if not names:
                names = [str(position) for position in range(len(fields))] if headerless else fields
                if not headerless:
                    continue
            yield _fields_row(fields, names, number)


def _fields_row(fields: list[str], names: list[str], number: int) -> Row:
    if len(fields) != len(names):
        return Reject(BAD_ROW, f"row {number}: {len(fields)} fields where the first row has {len(names)}")
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return Reject(BAD_ROW, f"row {number} is not UTF-8")
    return dict(zip(names, fields, strict=True))


def read_jsonl(file: str, _config: SourceConfig) -> Iterator[Row]:
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _json_row(line, f"line {number}")


def _json_row(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Reject(BAD_ROW, f"{where} is not JSON: {error}")
    return row if isinstance(row, dict) else Reject(BAD_ROW, f"{where} is not a JSON object")


def read_json(file: str, _config: SourceConfig) -> Iterator[Row]:
    rows = json.loads(Path(file).read_bytes())
    if not isinstance(rows, list):
        raise ConfigError(file, [Mistake("source.path", file, "must hold a JSON list of objects")])
    for number, row in enumerate(rows, start=1):
        yield row if isinstance(row, dict) else Reject(BAD_ROW, f"item {number} is not a JSON object")


def read_parquet(file: str, _config: SourceConfig | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield a parquet file's rows."""
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=256):
            yield from batch.to_pylist()


def _arrow(file: str, _config: SourceConfig) -> Iterator[Row]:
    with pa.memory_map(file) as mapped:
        try:
            reader: Any = pa.ipc.open_file(mapped)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            mapped.seek(0)
            batches = iter(pa.ipc.open_stream(mapped))
        for batch in batches:
            yield from batch.to_pylist()


READERS = {
    "csv": _csv, "tsv": _tsv, "jsonl": read_jsonl, "json": read_json, "parquet": read_parquet, "arrow": _arrow,
}
if set(READERS) != set(TABLE_FORMATS):
    raise RuntimeError("every table format needs a reader")
