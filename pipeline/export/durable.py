"""Files that are there whole or not at all, written as streams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["commit", "committed", "place", "to_disk"]


def to_disk(file: Path) -> None:
    """Bring a written file to the disk."""
    with open(file, "rb") as stream:
        os.fsync(stream.fileno())


def commit(beside: Path, file: Path) -> None:
    """Give a written file its name, once it is on the disk."""
    to_disk(beside)
    os.replace(beside, file)


@contextmanager
def committed(file: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name when it is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.tmp")
    with open(beside, "wb") as stream:
        yield stream
    commit(beside, file)


def place(piece: Path, file: Path) -> None:
    """Move a finished piece to where it belongs; nothing happens where that was done before."""
    if piece.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(piece, file)
