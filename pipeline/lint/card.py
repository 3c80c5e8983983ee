"""Whether the card tells the dataset's own numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.lint.problems import Report

__all__ = ["check_card"]

CARD = "README.md"
ROWS = re.compile(r"^(\d+) conversations about (\d+) samples\b", re.MULTILINE)
SPLITS = re.compile(r"^\| split \| conversations \| samples \|\n\|[-: |]+\|\n((?:\|.*\|\n)*)", re.MULTILINE)


def check_card(folder: Path, rows: Mapping[str, int], samples: int, report: Report) -> None:
    """Compare the card with what was counted.

    Args:
        folder: the dataset's folder.
        rows: conversations of each split.
        samples: samples of all splits.
    """
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        report.warn(CARD, "card", f"cannot be read: {error}" if (folder / CARD).exists() else "there is no card")
        return
    stated = ROWS.search(text)
    if stated is None:
        report.warn(CARD, "card", "does not say how many conversations and samples there are")
    elif (int(stated[1]), int(stated[2])) != (sum(rows.values()), samples):
        counted = f"{sum(rows.values())} conversations about {samples} samples"
        report.add(CARD, "card", f"says {stated[0]}, the dataset has {counted}")
    for line in (SPLITS.search(text) or ["", ""])[1].splitlines():
        split, conversations, _ = (cell.strip().replace("\\", "") for cell in line.strip("|").split("|"))
        if conversations != str(rows.get(split, 0)):
            report.add(CARD, "card", f"says {conversations} rows of {split}, the dataset has {rows.get(split, 0)}")
