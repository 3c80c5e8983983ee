"""One sample as the page shows it: what is known of it, its media, its story."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

from pipeline.layout import Layout
from pipeline.part_view import PartView
from pipeline.story import chapters_of
from pipeline.viewer.rows import is_number
from schemas.columns import CONVERSATIONS, REJECTED_CONVERSATIONS

__all__ = ["THUMBNAIL_PIXELS", "audio_type", "image_type", "media", "plain", "sample", "shrunk"]

THUMBNAIL_PIXELS = 320
"""Longer side of a picture in the grid."""

IMAGE_SIGNATURES = {
    b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif", b"BM": "image/bmp",
}
AUDIO_SIGNATURES = {
    b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg", b"\xff\xfb": "audio/mpeg",
    b"\xff\xf3": "audio/mpeg", b"\xff\xf2": "audio/mpeg", b"\xff\xf1": "audio/aac", b"\xff\xf9": "audio/aac",
    b"\x1aE\xdf\xa3": "audio/webm",
}


def sample(layout: Layout, part: int, row: int) -> dict[str, Any]:
    """Return everything about a sample as JSON values; bytes are left out.

    Raises:
        LookupError: there is no such row.
    """
    view = _opened(layout, part, row)
    chapters = chapters_of(layout, view, row)
    ended = next((chapter for chapter in chapters if chapter["state"] == "rejected"), None)
    known = {
        name: view.value(name, row)
        for name in (
            "id", "captions", "boxes", "image_url", "audio_url", "license", "extra", "transcript", "transcripts",
            "transcript_language", "transcript_segments", "dense_caption", "width", "height", "split",
        )
    }
    finished: dict[str, Any] = plain({
        **known,
        "part": part,
        "row": row,
        "state": "rejected" if ended else "kept" if view.is_finished else "unfinished",
        "stage": ended and ended["stage"],
        "reason": ended and ended["reason"],
        "meaning": ended and ended["meaning"],
        "detail": ended and ended["detail"],
        "has_image": view.has("image_bytes")[row].as_py(),
        "has_audio": view.has("audio_bytes")[row].as_py(),
        "conversations": [
            {"column": name, **talk}
            for name in layout.of_type(CONVERSATIONS) for talk in view.value(name, row) or ()
        ],
        "rejected_conversations": [
            {"column": name, **talk}
            for name in layout.of_type(REJECTED_CONVERSATIONS) for talk in view.value(name, row) or ()
        ],
        "scores": {
            name: value for name, place in layout.columns.items()
            if is_number(place.type) and (value := view.value(name, row)) is not None
        },
        "story": chapters,
    })
    return finished


def media(layout: Layout, part: int, row: int, kind: str) -> bytes:
    """Return a sample's image or recording as it is stored; raises LookupError where there is none.

    Args:
        layout: the run.
        part: the sample's part.
        row: its row there.
        kind: ``image`` or ``audio``.
    """
    data = _opened(layout, part, row).value(f"{kind}_bytes", row)
    if not isinstance(data, bytes):
        raise LookupError(f"part {part}, row {row}: no {kind}")
    return data


def image_type(data: bytes) -> str | None:
    """Return the type of an image that browsers show, known by its first bytes alone; None for any other data."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in IMAGE_SIGNATURES.items() if data.startswith(start)), None)


def audio_type(data: bytes) -> str:
    """Return the type of a recording, likewise; ``application/octet-stream`` for any other data."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[4:8] == b"ftyp":
        return "audio/mp4"
    known = (kind for start, kind in AUDIO_SIGNATURES.items() if data.startswith(start))
    return next(known, "application/octet-stream")


def shrunk(data: bytes, pixels: int) -> bytes:
    """Return an image as WebP, its longer side at most so many pixels.

    Raises:
        ValueError: this is no image that can be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (pixels, pixels))
            image.thumbnail((pixels, pixels))
            small = io.BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(small, "WEBP", quality=80)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"no picture: {error}") from error
    return small.getvalue()


def plain(value: Any) -> Any:
    """Return a value as strict JSON has it: no NaN, no bytes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, str | int):
        return value
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else json.loads(json.dumps(value, default=str))


def _opened(layout: Layout, part: int, row: int) -> PartView:
    if part not in layout.run.parts():
        raise LookupError(f"there is no part {part}")
    view = PartView(layout, part)
    if not 0 <= row < view.rows:
        raise LookupError(f"part {part} has no row {row}")
    return view
