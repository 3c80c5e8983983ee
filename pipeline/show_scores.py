"""How ``status`` prints scores: small histograms of block characters, with thresholds, and what others would keep."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stages.dataset.what_if import Score, WhatIf

__all__ = ["histogram_lines", "show_scores"]

HEIGHT = 4
"""Lines of a histogram."""
BLOCKS, ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
"""How full a character is, by eighths."""
MARKS, ASCII_MARKS = ("─", "▲", "◀", "▶"), ("-", "^", "<", ">")
"""The axis, a threshold, and thresholds off either end."""


def show_scores(scores: Sequence[Score], console: Console) -> None:
    """Print each score's histogram and, where a filter compares it, how many rows other thresholds would keep."""
    for score in scores:
        counted = f"{sum(score.measured)} measured, {sum(score.kept)} of them still in"
        console.print(f"\n{score.column}: {counted}", markup=False, highlight=False)
        for line in histogram_lines(score, is_ascii=console.options.ascii_only):
            console.print(line, markup=False, highlight=False, no_wrap=True)
        for what_if in score.what_ifs:
            console.print(_table(score.column, what_if))


def histogram_lines(score: Score, *, is_ascii: bool = False) -> list[str]:
    """Return a histogram as lines of text, the axis with its thresholds and the ends below it."""
    blocks, marks = (ASCII, ASCII_MARKS) if is_ascii else (BLOCKS, MARKS)
    most = max(score.measured) or 1
    eighths = [-(-count * 8 * HEIGHT // most) for count in score.measured]  # rounded up: what is there is seen
    rows = [
        "".join(blocks[min(8, max(0, filled - 8 * row))] for filled in eighths).rstrip()
        for row in reversed(range(HEIGHT))
    ]
    low, high = f"{score.edges[0]:.4g}", f"{score.edges[-1]:.4g}"
    return [*rows, _axis(score, marks), f"{low}{high:>{len(score.measured) - len(low)}}"]


def _axis(score: Score, marks: tuple[str, str, str, str]) -> str:
    line, mark, left, right = marks
    bins, first, last = len(score.measured), score.edges[0], score.edges[-1]
    axis = [line] * bins
    for number in score.lines:
        place = int((number - first) / (last - first) * bins)
        axis[min(max(place, 0), bins - 1)] = left if number < first else right if number > last else mark
    told = ", ".join(f"{number:.6g}" for number in score.lines)
    return "".join(axis) + (f" {mark} {told}" if told else "")


def _table(column: str, what_if: WhatIf) -> Table:
    title = escape(f"what {what_if.step} would keep of {what_if.entered} rows")
    header = escape(f"{column} {what_if.operator}"), "kept", "share", "change"
    table = Table(*header, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for each in table.columns:
        each.justify = "right"
    now = what_if.kept[what_if.number]
    for number, count in what_if.kept.items():
        share = f"{count / what_if.entered:.1%}" if what_if.entered else ""
        is_set = number == what_if.number
        change = "as it is" if is_set else f"{count - now:+}"
        table.add_row(f"{number:.6g}", str(count), share, change, style="bold" if is_set else None)
    return table
