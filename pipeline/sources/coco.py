"""``kind: coco``: COCO annotation files (captions, instances), joined by image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.sources.canonical import SourceRow, canonical
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake

__all__ = ["read"]


def read(files: list[str], config: SourceConfig) -> Iterator[SourceRow]:
    """Yield one sample an image, in the order the images first stand in the files.

    Boxes are given where an instances file lists the image (crowd boxes are left out); elsewhere the objects
    are unknown. Without ``images:`` the picture is fetched from ``coco_url``.
    """
    samples: dict[Any, dict[str, Any]] = {}
    for file in files:
        _join(samples, _load(file))
    for sample in samples.values():
        if config.images is not None:
            sample["image"] = sample["file_name"]
            del sample["image_url"]
        yield canonical(sample, str(config.images or Path(files[0]).parent))


def _load(file: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error
    missing = [key for key in ("images", "annotations") if not isinstance(data, dict) or key not in data]
    if missing:
        raise ConfigError(file, [Mistake(key, "", "missing: this is no COCO annotation file") for key in missing])
    return dict(data)


def _join(samples: dict[Any, dict[str, Any]], data: dict[str, Any]) -> None:
    licenses = {entry["id"]: entry.get("name") for entry in data.get("licenses", ())}
    categories = {entry["id"]: entry["name"] for entry in data.get("categories", ())}
    for image in data["images"]:
        sample = samples.setdefault(image["id"], _sample(image, licenses))
        if categories:
            sample.setdefault("boxes", [])
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    for annotation in data["annotations"]:
        sample = samples[annotation["image_id"]]
        if "caption" in annotation:
            sample.setdefault("captions", []).append(annotation["caption"].strip())
        elif "bbox" in annotation and not annotation.get("iscrowd"):
            box = _corners(annotation["bbox"], *sizes[annotation["image_id"]])
            sample["boxes"].append({"label": categories[annotation["category_id"]], "box": box})


def _sample(image: dict[str, Any], licenses: dict[Any, Any]) -> dict[str, Any]:
    return {
        "id": str(image["id"]),
        "image_url": image.get("coco_url"),
        "license": licenses.get(image.get("license")),
        "file_name": image["file_name"],
    }


def _corners(box: list[float], width: int, height: int) -> list[float]:
    """[x, y, width, height] in pixels -> [x1, y1, x2, y2] in 0-1, clipped to the image."""
    x, y, box_width, box_height = box
    corners = [x / width, y / height, (x + box_width) / width, (y + box_height) / height]
    return [min(1.0, max(0.0, corner)) for corner in corners]
