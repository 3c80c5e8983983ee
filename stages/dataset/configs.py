"""The part of a card that tells ``datasets``, and the hub, where each split's files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["LOAD_ARROW", "LOAD_PARQUET", "card_with_configs"]

LOAD_ARROW: Final = """```python
from datasets import load_from_disk
dataset = load_from_disk("dataset")  # this folder
```"""
"""How a card says its folder is loaded where that is ``datasets``' own layout."""

LOAD_PARQUET: Final = """```python
from datasets import load_dataset
dataset = load_dataset(".", streaming=True)  # this folder; on the hub, the repository's name
```"""


def card_with_configs(patterns: Mapping[str, str], card: str | None = None) -> str:
    """Return a card with each split's files in its front matter.

    Args:
        patterns: split -> pattern of its files, relative to the card's folder.
        card: the dataset's own card, to be continued; None gives the front matter alone.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    data_files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    configs = [{"config_name": "default", "data_files": data_files}]
    if card is None:
        return f"---\n{DatasetCardData(configs=configs).to_yaml()}\n---\n"
    continued = DatasetCard(card, ignore_metadata_errors=True)
    continued.data["configs"] = configs
    continued.text = continued.text.replace(LOAD_ARROW, LOAD_PARQUET, 1)
    return str(continued)
