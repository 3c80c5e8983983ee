"""The card's histograms: of scores, of what ``filter`` compares with a number, of the answers' lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.markdown import escape
from stages.dataset.plots import Histogram, plot_histogram
from stages.dataset.thresholds import thresholds

__all__ = ["lengths", "scores"]

SCORE = "clip_score"
BINS = 40


def scores(folder: Path, run: RunView) -> str:
    """Draw the CLIP scores, and every column of numbers that a filter compares with one."""
    lines = thresholds(run.steps())
    types = {field.name: field.type for field in run.columns()}
    drawn = [name for name in [SCORE, *sorted(lines.keys() - {SCORE})] if name in types and _is_number(types[name])]
    return "\n".join(filter(None, (_section(folder, run, name, lines.get(name, [])) for name in drawn)))


def _section(folder: Path, run: RunView, column: str, lines: Sequence[float]) -> str:
    histograms = _histograms(run, column)
    if not histograms:
        return ""
    is_score = column == SCORE
    file = "clip_scores.png" if is_score else f"column-{re.sub(r'[^A-Za-z0-9]+', '-', column)}.png"
    label = "CLIP score: cosine of image and best caption" if is_score else column
    plot_histogram(histograms, lines, (label, "samples"), folder / file)
    heading = "CLIP scores" if is_score else f"Filtered by {escape(column)}"
    picture = f"![Histogram of {'CLIP scores' if is_score else escape(column)}, measured and kept]({file})"
    compared = f"\n`filter` compares it with {', '.join(f'{value:g}' for value in lines)}.\n" if lines else ""
    return f"## {heading}\n\n{picture}\n{compared}"


def _histograms(run: RunView, column: str) -> list[Histogram]:
    """Count all values and those of the dataset, a part at a time; none where there is no value."""
    ends = [(values.min(), values.max()) for values in _values(run, column, live=False) if values.size]
    if not ends:
        return []
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    edges = np.histogram_bin_edges(np.array([low, high]), BINS)
    measured, kept = (
        sum((np.histogram(values, edges)[0] for values in _values(run, column, live=live)), np.zeros(BINS, np.int64))
        for live in (False, True)
    )
    return [Histogram(f"measured ({measured.sum()})", edges, measured),
            Histogram(f"in the dataset ({kept.sum()})", edges, kept)]


def _values(run: RunView, column: str, *, live: bool) -> Iterator[np.ndarray]:
    for part in run.parts():
        values = run.table(part, [column], live=live)[column].drop_null().to_numpy().astype(np.float64)
        yield values[np.isfinite(values)]


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


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
