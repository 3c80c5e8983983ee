"""Samples as dataset rows, one after the other in plain Python: what ``stages.dataset.explode`` must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["dataset_rows"]


def dataset_rows(sample: dict[str, Any], columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield one row per conversation of a sample, in the order of ``columns``."""
    image = sample.get("image_bytes")
    shared = {
        "id": sample["id"],
        "images": [] if image is None else [{"bytes": image, "path": None}],
        "captions": sample.get("captions"),
        "boxes": sample.get("boxes"),
        "transcript": sample.get("transcript"),
        "license": sample.get("license"),
        "url": sample.get("image_url") or sample.get("audio_url"),
        "clip_score": sample.get("clip_score"),
        "duplicate_cluster": sample.get("duplicate_cluster"),
    }
    for column in columns:
        for conversation in sample[column] or ():
            yield {**shared, **conversation}
