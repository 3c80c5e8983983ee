"""The folder an export goes into: whose it is, how far it is, and when it is complete.

::

    <folder>/.export/claim.json      what is being exported, from when it begins to when it is complete
                     <piece>         finished pieces, and
                     <piece>.json    their records, written last: a piece without one never happened
             export.json             written last of all: what the folder holds
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.export.pieces import Piece
from schemas.errors import ConfigError, FatalError, Mistake
from schemas.storage import Storage

__all__ = ["MANIFEST", "ExportFolder"]

MANIFEST = "export.json"
WORK = ".export"
CLAIM = f"{WORK}/claim.json"


class ExportFolder:
    """A folder that holds one export, or none yet.

    Args:
        folder: the folder; made by ``claimed``.
        claim: what is to be exported into it: equal claims give equal bytes.
    """

    def __init__(self, folder: Path, claim: Mapping[str, Any]) -> None:
        self.folder, self.claim = folder, dict(claim)
        self.work = folder / WORK
        self.storage = Storage(str(folder))

    def manifest(self) -> Mapping[str, Any] | None:
        """Return what the folder holds, if it is this export and complete.

        Raises:
            ConfigError: the folder holds something else.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise self._mistake("is a file")
        manifest = _export(self.storage.read_json(MANIFEST))
        holds = manifest or _export(self.storage.read_json(CLAIM))
        if holds is None:
            others = [name for name in self.storage.names() if name != WORK]
            if others:
                raise self._mistake(f"is not empty and holds no export ({others[0]}); name another folder")
        elif any(holds.get(key) != value for key, value in self.claim.items()):
            raise self._mistake(f"holds {_difference(holds, self.claim)}; name another folder or remove this one")
        return manifest

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for this process, and mark it as this export's."""
        self.work.mkdir(parents=True, exist_ok=True)
        with open(self.work / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FatalError(f"{self.folder}: another export is writing here") from None
            self.storage.write_json(CLAIM, self.claim)
            yield

    def pieces(self, split: str) -> list[Piece]:
        """Return the finished pieces of a split, in order."""
        pieces: list[Piece] = []
        while (record := self.storage.read_json(f"{WORK}/{Piece.named(split, len(pieces))}.json")) is not None:
            pieces.append(Piece(**record))
        return pieces

    def add(self, piece: Piece) -> None:
        """Record a piece whose file is on the disk."""
        self.storage.write_json(f"{WORK}/{piece.name}.json", piece.record())

    def complete(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, and clear up."""
        self.storage.write_json(MANIFEST, {**self.claim, **manifest})
        self.clear()

    def clear(self) -> None:
        """Remove what only an unfinished export needs."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _mistake(self, problem: str) -> ConfigError:
        return ConfigError("command line", [Mistake("--to", str(self.folder), problem)])


def _export(value: Any) -> Mapping[str, Any] | None:
    """Return a manifest or claim as it is, and None for any other file of that name."""
    return value if isinstance(value, dict) and {"format", "dataset", "version"} <= value.keys() else None


def _difference(holds: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    if holds.get("format") != claim["format"]:
        return f"an export in another format ({holds.get('format')})"
    if holds.get("dataset") != claim["dataset"]:
        return "an export of another dataset"
    key = next(key for key in claim if holds.get(key) != claim[key])
    return f"an export with another {key.replace('_', ' ')} ({holds.get(key)})"
