"""``trl``: JSON lines and images that ``datasets`` reads as an image folder, for TRL's ``SFTTrainer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.export.card import write_configs
from pipeline.export.lines import LinesFormat
from pipeline.export.pieces import Finished, Piece
from pipeline.export.rows import Row

__all__ = ["Trl"]


class Trl(LinesFormat):
    """``<split>/metadata.jsonl``: ``{images_file_names: [path], messages: [{role, content}]}``, ``<split>/images/``.

    ``datasets`` turns ``images_file_names`` into ``images``, which with ``messages`` is what the trainer takes; it puts
    the images before the first user text.
    """

    array = False

    def split_file(self, split: str) -> Path:
        """Return ``<split>/metadata.jsonl``."""
        return self.folder / split / "metadata.jsonl"

    def entry(self, row: Row, images: Sequence[str]) -> Mapping[str, Any]:
        """Return a row as an image folder's metadata has it."""
        turns = [{"role": role, "content": content} for role, content in row.messages]
        return {"id": row.id, "kind": row.kind, "images_file_names": images, "messages": turns}

    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Join the lines, then write the card that tells ``datasets`` which split is where."""
        names = super().finish(pieces)
        write_configs(self.folder, {split: f"{split}/**" for split in self.dataset.splits})
        return {**names, "README.md": None}
