"""Where samples come from: one module per kind of source, all giving rows of the one canonical schema."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from itertools import islice

from pipeline.sources import coco, huggingface, llava, table, webdataset
from pipeline.sources.canonical import SourceRow
from schemas.config import SourceConfig

__all__ = ["read_source", "source_files"]

KINDS = {
    "table": table.read,
    "coco": coco.read,
    "llava": llava.read,
    "webdataset": webdataset.read,
    "huggingface": huggingface.read,
}
FILES = {"webdataset": webdataset.files, "huggingface": huggingface.files}
"""Kinds whose path may be a folder: what files it stands for."""


def source_files(config: SourceConfig) -> list[str]:
    """Return the source's files: globs expanded, each glob's matches sorted, and folders where the kind has them."""
    matches = [match for path in config.path for match in (sorted(glob.glob(path, recursive=True)) or [path])]
    files_of = FILES.get(config.kind)
    return [file for match in matches for file in files_of(match)] if files_of else matches


def read_source(config: SourceConfig) -> Iterator[SourceRow]:
    """Yield the source's samples in order.

    Raises:
        ConfigError: a file as a whole cannot be read, or lacks a column the config names.
    """
    rows = KINDS[config.kind](source_files(config), config)
    return islice(rows, config.limit)
