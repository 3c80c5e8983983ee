"""Where samples come from: one module per kind of source, all giving rows of the one canonical schema."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from itertools import islice

from pipeline.sources import coco, llava, table
from pipeline.sources.canonical import SourceRow
from schemas.config import SourceConfig

__all__ = ["read_source", "source_files"]

KINDS = {"table": table.read, "coco": coco.read, "llava": llava.read}


def source_files(config: SourceConfig) -> list[str]:
    """Return the source's files: globs expanded, each glob's matches sorted."""
    return [file for path in config.path for file in (sorted(glob.glob(path, recursive=True)) or [path])]


def read_source(config: SourceConfig) -> Iterator[SourceRow]:
    """Yield the source's samples in order.

    Raises:
        ConfigError: a file as a whole cannot be read, or lacks a column the config names.
    """
    rows = KINDS[config.kind](source_files(config), config)
    return islice(rows, config.limit)
