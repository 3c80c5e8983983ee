"""The images and texts of a benchmark, read from the user's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import FatalError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["IMAGE_SUFFIXES", "TABLE_SUFFIXES", "image_files", "table_rows"]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".json", ".parquet", ".arrow"}


def image_files(root: str) -> list[Path]:
    """Return the image files of a folder and its folders, sorted by path; of a file, itself.

    Raises:
        FatalError: there are none.
    """
    path = Path(root)
    found = [path] if path.is_file() else sorted(
        file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if not found:
        raise FatalError(f"{root}: holds no image ({' '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def table_rows(file: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield columns of the rows of a table, by its file name: csv, tsv, jsonl, json, parquet or arrow.

    Raises:
        FatalError: it cannot be read, or lacks a column.
    """
    import polars as pl

    try:
        frame = _read(Path(file))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise FatalError(f"{file}: cannot be read: {str(error).strip().splitlines()[0]}") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise FatalError(f"{file}: has no column {', '.join(missing)} (it has {', '.join(frame.columns)})")
    yield from frame.select(columns).iter_rows(named=True)


def _read(file: Path) -> pl.DataFrame:
    import polars as pl

    match file.suffix.lower():
        case ".csv":
            return pl.read_csv(file, infer_schema=False)
        case ".tsv":
            return pl.read_csv(file, separator="\t", quote_char=None, infer_schema=False)
        case ".jsonl":
            return pl.read_ndjson(file)
        case ".json":
            return pl.read_json(file)
        case ".parquet":
            return pl.read_parquet(file)
        case ".arrow":
            return pl.read_ipc(file)
        case suffix:
            raise ValueError(f"{suffix or 'a file without a suffix'} is no table ({' '.join(sorted(TABLE_SUFFIXES))})")
