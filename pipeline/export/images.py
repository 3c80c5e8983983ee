"""Images as files of their own, each content once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipeline.export.durable import to_disk
from pipeline.export.rows import Picture

__all__ = ["ImageFolder"]

NAME_DIGITS = 32


class ImageFolder:
    """A folder of images named for their content, so that equal ones are one file and no id can be a path.

    Args:
        folder: the folder; its images lie in 256 folders below.
        work: a folder on the same file system, for a file until it is complete.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.beside = folder, work / "image.tmp"
        self._new: list[Path] = []

    def add(self, picture: Picture) -> str:
        """Write an image where it is not there yet; return its name relative to the folder."""
        digest = hashlib.sha256(picture.content).hexdigest()
        name = f"{digest[:2]}/{digest[:NAME_DIGITS]}.{picture.extension}"
        file = self.folder / name
        if not file.exists() or file.stat().st_size != len(picture.content):
            file.parent.mkdir(parents=True, exist_ok=True)
            self.beside.write_bytes(picture.content)
            os.replace(self.beside, file)
            self._new.append(file)
        return name

    def to_disk(self) -> None:
        """Bring what was written to the disk."""
        for file in self._new:
            to_disk(file)
        self._new = []
