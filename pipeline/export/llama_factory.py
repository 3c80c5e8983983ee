"""``llama_factory``: LLaMA-Factory's sharegpt files and their ``dataset_info.json``.

It counts the ``<image>`` of a row's texts and refuses a row that has not as many images (src/llamafactory/data/
mm_plugin.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.export.durable import committed
from pipeline.export.lines import LinesFormat
from pipeline.export.pieces import Finished, Piece
from pipeline.export.rows import PLACEHOLDER, Row

__all__ = ["LlamaFactory"]

INFO = "dataset_info.json"

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


class LlamaFactory(LinesFormat):
    """``<split>.json``: ``[{messages: [{role, content}], images: [path]}]``, ``images/`` and ``dataset_info.json``.

    The folder is LLaMA-Factory's ``dataset_dir``; a split's dataset is called ``showtell_<split>``.
    """

    array = True

    def split_file(self, split: str) -> Path:
        """Return ``<split>.json``."""
        return self.folder / f"{split}.json"

    def entry(self, row: Row, images: Sequence[str]) -> Mapping[str, Any]:
        """Return a row in sharegpt's form, with the roles' names of OpenAI."""
        turns = [{"role": role, "content": content} for role, content in row.messages]
        turns[0]["content"] = PLACEHOLDER * len(images) + turns[0]["content"]
        return {"id": row.id, "messages": turns, "images": images}

    def finish(self, pieces: Sequence[Piece]) -> Finished:
        """Join the lines, then tell LLaMA-Factory of them."""
        names = super().finish(pieces)
        columns = {"messages": "messages", "images": "images"}
        info = {
            f"showtell_{split}": {
                "file_name": self.split_file(split).name, "formatting": "sharegpt", "columns": columns, "tags": TAGS,
            }
            for split in self.dataset.splits
        }
        with committed(self.folder / INFO) as stream:
            stream.write(json.dumps(info, indent=2).encode() + b"\n")
        return {**names, INFO: None}
