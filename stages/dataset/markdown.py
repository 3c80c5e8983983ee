"""Markdown that holds whatever strangers write."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["code_block", "counts_table", "escape", "ordered", "shortened", "table"]

LONGEST_LIST = 15
LONGEST_CELL = 100
"""Characters; a longer text from the web is cut."""

UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+|[\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]+"
                    r"|[\ufff9-\ufffb\U000e0000-\U000e007f]+")
"""What a page shows as a gap or not at all, or what turns the direction of the text behind it."""


def escape(text: Any) -> str:
    """Return text from the web so that no Markdown or HTML in it has any effect, on one line.

    Behind each ``@`` stands a word joiner, which nobody sees: GitHub's Markdown makes links of addresses after all
    escapes are gone.
    """
    flat = UNSEEN.sub(" ", str(text)).strip()
    inert = re.sub(r"([\\`*_\[\]|~$]|(?<=:)/(?=/)|(?<=www)\.)", r"\\\1", html.escape(flat, quote=False))
    return inert.replace("@", "@\u2060")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; cells are escaped, columns that hold only numbers stand to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numbers = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(header))]
    lines = [f"| {' | '.join(header)} |", f"|{''.join(' ---: |' if right else ' --- |' for right in numbers)}"]
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in cells]
    return "\n".join(lines) + "\n"


def counts_table(header: Sequence[str], counts: Mapping[str, int]) -> str:
    """Return a table of the most frequent, with a line that says how many more there are."""
    shown = ordered(counts)[:LONGEST_LIST]
    more = len(counts) - len(shown)
    rows = [(shortened(name), count) for name, count in shown]
    return table(header, rows) + (f"\n... and {more} more.\n" if more else "")


def shortened(text: str, most: int = LONGEST_CELL) -> str:
    """Return a text of at most so many characters, with dots where it was cut."""
    return text if len(text) <= most else f"{text[:most]}..."


def ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return names with their counts: the most frequent first, equals by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def code_block(text: str, language: str) -> str:
    """Return a text as a fenced block that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?[\d,]*\.?\d+%?", cell) is not None
