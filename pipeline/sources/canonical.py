"""One row of anybody's table into the canonical columns, or into a reject that says which value is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.columns import SOURCE
from schemas.errors import Reject
from stages.context import without_placeholders

__all__ = ["BAD_ROW", "SourceRow", "canonical", "rename"]

BAD_ROW = "bad_row"


@dataclass(frozen=True)
class SourceRow:
    """A sample as the source gave it.

    Attributes:
        values: canonical columns; columns not present are null.
        reject: why the row cannot be used, if so. ``values`` then holds what could be read.
    """

    values: Mapping[str, Any]
    reject: Reject | None = None


def rename(row: Mapping[str, Any], columns: Mapping[str, str | int]) -> dict[str, Any]:
    """Return the row under our names, where ``columns`` maps ours to theirs."""
    theirs = {str(name) for name in columns.values()}
    kept = {key: value for key, value in row.items() if key not in theirs}
    return kept | {ours: row[str(name)] for ours, name in columns.items() if str(name) in row}


def canonical(row: Mapping[str, Any], folder: str) -> SourceRow:
    """Bring one row under the canonical schema.

    Args:
        row: our column names -> values of any kind; columns that are not ours go to ``extra``.
        folder: what relative media paths are relative to.
    """
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        if _missing(row.get(name)):
            continue
        try:
            values[name] = read(row[name], folder)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            return SourceRow(values, Reject(BAD_ROW, f"{name} = {_short(row[name])}: {error}"))
    extra = {key: value for key, value in row.items() if key not in READERS and not _missing(value)}
    try:
        values["extra"] = json.dumps(extra, sort_keys=True, default=_plain) if extra else None
    except RecursionError:
        return SourceRow(values, Reject(BAD_ROW, "nested too deeply"))
    return SourceRow(values)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "..."
    return text if len(text) <= 80 else f"{text[:77]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return value.item() if hasattr(value, "item") else str(value)


def _text(value: Any, _folder: str) -> str:
    if value is None or isinstance(value, dict | list | bytes):
        raise TypeError(f"must be text, not {type(value).__name__}")
    # Lone surrogates can stand in JSON but in no UTF-8 file: Arrow would refuse the whole part.
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _texts(value: Any, folder: str) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    return [_text(item, folder) for item in items if not _missing(item)]


def _boxes(value: Any, folder: str) -> list[dict[str, Any]]:
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        raise TypeError("must be a list of {label, box}")
    return [{"label": _text(item["label"], folder), "box": _box(item["box"])} for item in items]


def _box(value: Any) -> list[float]:
    corners = [float(corner) for corner in value]
    if len(corners) != 4:
        raise ValueError(f"a box is [x1, y1, x2, y2], not {len(corners)} numbers")
    x1, y1, x2, y2 = corners
    if not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1):
        raise ValueError("a box is [x1, y1, x2, y2] from 0 to 1, top-left then bottom-right")
    return corners


def _media(value: Any, folder: str) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    if isinstance(value, dict) and set(value) <= {"bytes", "path"}:
        data, path = value.get("bytes"), value.get("path")
        if not isinstance(data, bytes | None):
            raise TypeError(f"bytes must be bytes, not {type(data).__name__}")
        return {"bytes": data, "path": _media_path(_text(path, folder), folder) if path else None}
    return {"bytes": None, "path": _media_path(_text(value, folder), folder)}


def _media_path(path: str, folder: str) -> str:
    return path if "://" in path else str(Path(folder) / path)


def _conversations(value: Any, folder: str) -> list[dict[str, Any]]:
    """Return conversations as we have them: plain text, in which nothing stands for an image (DESIGN 6)."""
    return [
        {
            "kind": _text(item["kind"], folder),
            "messages": [
                {"role": _text(turn["role"], folder), "content": without_placeholders(_text(turn["content"], folder))}
                for turn in item["messages"]
            ],
            "provenance": _text(item.get("provenance") or "source", folder),
        }
        for item in value
    ]


READERS = {
    "id": _text,
    "image_url": _text,
    "image": _media,
    "captions": _texts,
    "boxes": _boxes,
    "audio_url": _text,
    "audio": _media,
    "transcripts": _texts,
    "source_conversations": _conversations,
    "license": _text,
}
if {*READERS, "extra"} != set(SOURCE.names):
    raise RuntimeError("every source column needs a reader")
