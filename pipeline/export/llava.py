"""``llava``: LLaVA's JSON and a folder of images.

Its loader (haotian-liu/LLaVA, llava/train/train.py) takes a ``<image>`` anywhere in a text for the image's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.export.lines import LinesFormat
from pipeline.export.rows import PLACEHOLDER, Row

__all__ = ["Llava"]

SPEAKERS = {"user": "human", "assistant": "gpt"}


class Llava(LinesFormat):
    """``<split>.json``: ``[{id, image, conversations: [{from, value}]}]``, and ``images/``.

    ``image`` is relative to the folder, LLaVA's ``--image_folder``. A row without an image has none; one of several
    has a list, and a placeholder for each, as LLaVA-NeXT reads them.
    """

    array = True

    def split_file(self, split: str) -> Path:
        """Return ``<split>.json``."""
        return self.folder / f"{split}.json"

    def entry(self, row: Row, images: Sequence[str]) -> Mapping[str, Any]:
        """Return a row of LLaVA's file."""
        turns = [{"from": SPEAKERS[role], "value": content} for role, content in row.messages]
        turns[0]["value"] = f"{PLACEHOLDER}\n" * len(images) + turns[0]["value"]
        image = {"image": images[0] if len(images) == 1 else images} if images else {}
        return {"id": row.id, **image, "conversations": turns}
