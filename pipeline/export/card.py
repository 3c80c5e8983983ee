"""The README that tells ``datasets``, and the hub, where each split's files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.export.durable import committed
from stages.dataset.configs import card_with_configs

__all__ = ["write_configs"]


def write_configs(folder: Path, patterns: Mapping[str, str], card: Path | None = None) -> None:
    """Write ``README.md`` with each split's files in its front matter.

    Args:
        folder: the exported folder.
        patterns: split -> pattern of its files, relative to the folder.
        card: the dataset's own card, to be continued where there is one.
    """
    told = card.read_text(encoding="utf-8") if card is not None and card.is_file() else None
    with committed(folder / "README.md") as stream:
        stream.write(card_with_configs(patterns, told).encode())
