"""``kind: coco``: COCO annotation files (captions, instances), joined by image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.sources.canonical import BAD_ROW, SourceRow, canonical
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake, Reject

__all__ = ["read"]


def read(files: list[str], config: SourceConfig) -> Iterator[SourceRow]:
    """Yield one sample an image, in the order the images first stand in the files.

    Boxes are given where an instances file lists the image (crowd boxes are left out); elsewhere the objects
    are unknown. Without ``images:`` the picture is fetched from ``coco_url``.
    """
    samples: dict[Any, dict[str, Any]] = {}
    bad: dict[Any, Reject] = {}
    for file in files:
        _join(samples, bad, file, _load(file))
    for image_id, sample in samples.items():
        if config.images is not None:
            sample["image"] = sample["file_name"]
            del sample["image_url"]
        row = canonical(sample, str(config.images or Path(files[0]).parent))
        yield replace(row, reject=row.reject or bad.get(image_id))


def _load(file: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(file).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error
    missing = [key for key in ("images", "annotations") if not isinstance(data, dict) or key not in data]
    if missing:
        raise ConfigError(file, [Mistake(key, "", "missing: this is no COCO annotation file") for key in missing])
    return dict(data)


def _join(samples: dict[Any, dict[str, Any]], bad: dict[Any, Reject], file: str, data: dict[str, Any]) -> None:
    """Add a file's images and annotations to the samples; an image with a bad annotation is entered in ``bad``."""
    try:
        licenses = {entry["id"]: entry.get("name") for entry in data.get("licenses", ())}
        categories = {entry["id"]: entry["name"] for entry in data.get("categories", ())}
        images = {image["id"]: image for image in data["images"]}
        for image_id, image in images.items():
            sample = samples.setdefault(image_id, _sample(image, licenses))
            if categories:
                sample.setdefault("boxes", [])
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(file, [Mistake("images", "", f"this is no COCO annotation file: {error!r}")]) from error
    for index, annotation in enumerate(data["annotations"]):
        image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(image_id, int | str) or image_id not in images:
            mistake = Mistake(f"annotations[{index}].image_id", repr(image_id), "no image of this file has this id")
            raise ConfigError(file, [mistake])
        try:
            _annotate(samples[image_id], images[image_id], annotation, categories)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            bad.setdefault(image_id, Reject(BAD_ROW, f"annotations[{index}] of {Path(file).name}: {error!r}"))


def _annotate(
    sample: dict[str, Any], image: dict[str, Any], annotation: dict[str, Any], categories: dict[Any, str]
) -> None:
    if "caption" in annotation:
        sample.setdefault("captions", []).append(annotation["caption"].strip())
    elif "bbox" in annotation and not annotation.get("iscrowd"):
        box = _corners(annotation["bbox"], image["width"], image["height"])
        sample.setdefault("boxes", []).append({"label": categories[annotation["category_id"]], "box": box})


def _sample(image: dict[str, Any], licenses: dict[Any, Any]) -> dict[str, Any]:
    return {
        "id": str(image["id"]),
        "image_url": image.get("coco_url"),
        "license": licenses.get(image.get("license")),
        "file_name": image["file_name"],
    }


def _corners(box: list[float], width: int, height: int) -> list[float]:
    """[x, y, width, height] in pixels -> [x1, y1, x2, y2] in 0-1, clipped to the image."""
    if not width > 0 < height:
        raise ValueError(f"the image is {width} x {height} pixels")
    x, y, box_width, box_height = box
    corners = [x / width, y / height, (x + box_width) / width, (y + box_height) / height]
    return [min(1.0, max(0.0, corner)) for corner in corners]
