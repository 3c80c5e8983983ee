"""The README that tells ``datasets``, and the hub, where each split's files are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.export.durable import committed

__all__ = ["write_configs"]

LOAD_FROM_DISK = re.compile(r"```python\nfrom datasets import load_from_disk\n.*?```", re.DOTALL)
"""How a card says its folder is loaded, which the exported folder is not."""

LOAD = """```python
from datasets import load_dataset
dataset = load_dataset(".", streaming=True)  # this folder; on the hub, the repository's name
```"""


def write_configs(folder: Path, patterns: Mapping[str, str], card: Path | None = None) -> None:
    """Write ``README.md`` with each split's files in its front matter.

    Args:
        folder: the exported folder.
        patterns: split -> pattern of its files, relative to the folder.
        card: the dataset's own card, to be continued; None writes the front matter alone.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    data_files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    configs = [{"config_name": "default", "data_files": data_files}]
    if card is None or not card.is_file():
        text = f"---\n{DatasetCardData(configs=configs).to_yaml()}\n---\n"
    else:
        continued = DatasetCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True)
        continued.data["configs"] = configs
        continued.text = LOAD_FROM_DISK.sub(lambda _: LOAD, continued.text, count=1)
        text = str(continued)
    with committed(folder / "README.md") as stream:
        stream.write(text.encode())
