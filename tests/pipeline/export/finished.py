"""Makes finished datasets for tests of their export."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from PIL import Image

from stages.dataset.rows import features

HOSTILE = "What does <image> mean? And <video>, <audio>, <image>?"


def picture(seed: int, kind: str = "jpeg", side: int = 12) -> bytes:
    """Return an image of noise."""
    image = Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(side * side * 3))
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def row(number: int, images: Sequence[bytes] | None = None, *texts: str, **more: Any) -> dict[str, Any]:
    """Return a dataset row; by default with one picture, one question and one answer."""
    turns = texts or (f"What is number {number}?", f"It is »{number}«.\nNo doubt.")
    shown = [picture(number)] if images is None else images
    return {
        "id": f"s/{number}.a", "kind": "brief", "images": [{"bytes": image, "path": None} for image in shown],
        "messages": [
            {"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(turns)
        ],
        "captions": [f"caption {number}"], "boxes": [{"label": "dog", "box": [0.0, 0.25, 0.5, 1.0]}],
        "transcript": None, "license": "CC0-1.0", "url": f"http://x/{number}.jpg", "clip_score": 0.25,
        "provenance": "test", "duplicate_cluster": None, "findings": None, **more,
    }


def mixed() -> dict[str, list[dict[str, Any]]]:
    """Return rows of every sort: JPEG and PNG, the same picture twice, no picture, two, long talks, hostile texts."""
    shared = picture(1)
    train = [
        row(0), row(1, [shared]), row(2, [shared], "One?", "Two.", "Three?", "Four."), row(3, [picture(3, "png")]),
        row(4, []), row(5, None, HOSTILE, "An <image> is a token."), row(6, [], HOSTILE, "None."),
        row(7, [picture(71), picture(72, "webp")], "Which is larger?", "The first."),
        *(row(number) for number in range(8, 60)),
    ]
    return {"train": train, "validation": [row(number) for number in range(100, 105)]}


def saved(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> Path:
    """Save a dataset; by default of ``mixed`` rows."""
    columns = features()
    made = {
        name: Dataset.from_dict({column: [row[column] for row in rows] for column in columns}, features=columns)
        for name, rows in (splits or mixed()).items()
    }
    DatasetDict(made).save_to_disk(str(folder))
    return folder


def told(messages: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return messages as pairs, with placeholders taken apart as exports do."""
    taken_apart = {f"<{name}>": f"< {name} >" for name in ("image", "video", "audio")}

    def plain(text: str) -> str:
        for token, apart in taken_apart.items():
            text = text.replace(token, apart)
        return text

    return [(message["role"], plain(message["content"])) for message in messages]
