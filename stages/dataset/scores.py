"""The card's histograms: of scores, of what ``filter`` compares with a number, of the answers' lengths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.markdown import escape, table
from stages.dataset.plots import Histogram, plot_histogram
from stages.dataset.what_if import BINS, SCORE, Score, WhatIf, read_scores

__all__ = ["lengths", "scores"]


def scores(folder: Path, run: RunView) -> str:
    """Draw the CLIP scores, and every column of numbers that a filter compares with one; tell what it would keep at
    other thresholds."""
    return "\n".join(_section(folder, score) for score in read_scores(run))


def _section(folder: Path, score: Score) -> str:
    is_clip = score.column == SCORE
    file = "clip_scores.png" if is_clip else f"column-{re.sub(r'[^A-Za-z0-9]+', '-', score.column)}.png"
    label = "CLIP score: cosine of image and best caption" if is_clip else score.column
    histograms = [_histogram("measured", score.edges, score.measured),
                  _histogram("in the dataset", score.edges, score.kept)]
    plot_histogram(histograms, score.lines, (label, "samples"), folder / file)
    heading = "CLIP scores" if is_clip else f"Filtered by {escape(score.column)}"
    picture = f"![Histogram of {'CLIP scores' if is_clip else escape(score.column)}, measured and kept]({file})"
    numbers = ", ".join(f"{number:.6g}" for number in score.lines)
    compared = [f"`filter` compares it with {numbers}.\n"] if score.lines else []
    return "\n".join([f"## {heading}\n\n{picture}\n", *compared, *map(_what_if, score.what_ifs)])


def _histogram(label: str, edges: Sequence[float], counts: Sequence[int]) -> Histogram:
    return Histogram(f"{label} ({sum(counts)})", np.array(edges), np.array(counts))


def _what_if(what_if: WhatIf) -> str:
    rows = [
        (f"{what_if.operator} {number:.6g}", count, f"{count / what_if.entered:.1%}" if what_if.entered else "",
         "as it is" if number == what_if.number else f"{count - what_if.kept[what_if.number]:+}")
        for number, count in what_if.kept.items()
    ]
    return f"""What `{escape(what_if.step)}` would keep of {what_if.entered} samples with another number in its place:

{table(["threshold", "kept", "share", "change"], rows)}"""


def lengths(folder: Path, census: Census) -> str:
    """Draw how long answers are."""
    if not census.answer_lengths:
        return ""
    sizes, counts = (np.array(list(each)) for each in zip(*sorted(census.answer_lengths.items()), strict=True))
    edges = np.linspace(0, sizes[-1] + 1, min(BINS, int(sizes[-1]) + 1) + 1)
    histogram = Histogram(f"answers ({counts.sum()})", edges, np.histogram(sizes, edges, weights=counts)[0])
    plot_histogram([histogram], [], ("words an answer", "answers"), folder / "lengths.png")
    middle = int(sizes[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
    return f"""### Lengths

Half of the answers have at most {middle} words, the longest {int(sizes[-1])}{' or more' if sizes[-1] >= 1000 else ''}.

![Histogram of words an answer](lengths.png)
"""
