"""What img2dataset (rom1504/img2dataset, 1.47: writer.py, downloader.py) calls things, under our names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ENCODE_FORMATS", "is_metadata", "media_beside", "renamed"]

ENCODE_FORMATS = ("jpg", "png", "webp")
"""Its output formats. A parquet column of this name holds the pictures."""
MARKS = frozenset({"status", "error_message", "original_width", "original_height"})


def is_metadata(row: Mapping[str, Any]) -> bool:
    """Tell whether img2dataset wrote the row: these columns stand in all its outputs, and hardly anywhere else."""
    return row.keys() >= MARKS


def renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with ``key``, ``url``, ``caption`` and ``txt`` under our names, where these are free."""
    rest = dict(row)
    captions: list[Any] = []
    for value in (rest.pop("caption", None), rest.pop("txt", None)):
        captions += [text for text in (value if isinstance(value, list) else [value]) if text and text not in captions]
    return {"id": rest.pop("key", None), "image_url": rest.pop("url", None), "captions": captions or None, **rest}


def media_beside(row: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return a metadata row with its picture: from its own column, or from the folder the output ``files`` makes.

    Rows that were not downloaded have none, and keep their URL to be fetched.
    """
    for name in ENCODE_FORMATS:
        if name in row:
            rest = {column: value for column, value in row.items() if column != name}
            return {**rest, "image": row[name]}
    key = str(row.get("key"))
    if row["status"] != "success" or not key.isalnum():
        return dict(row)
    files = (Path(file).with_suffix("") / f"{key}.{name}" for name in ENCODE_FORMATS)
    return {**row, "image": next((str(picture) for picture in files if picture.exists()), None)}
