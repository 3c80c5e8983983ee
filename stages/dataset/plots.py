"""Pictures on the card, legible on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Histogram", "plot_histogram"]

INK = "#7d8590"
"""Of text and lines: its contrast is 3.8 on white and 4.9 on GitHub's and the hub's black."""
BEHIND, IN_FRONT, LINE = "#a3acb8", "#2f81c7", "#d9534f"


@dataclass(frozen=True)
class Histogram:
    """Counts between edges.

    Attributes:
        label: what is counted.
        edges: ``bins + 1`` numbers.
        counts: ``bins`` numbers.
    """

    label: str
    edges: np.ndarray
    counts: np.ndarray


def plot_histogram(
    histograms: Sequence[Histogram], lines: Sequence[float], labels: tuple[str, str], file: Path
) -> None:
    """Draw one histogram, or a part in front of its whole.

    Args:
        histograms: one or two; the whole first.
        lines: thresholds, drawn where they lie within the edges.
        labels: of the axes.
        file: the PNG to write, its background transparent.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), dpi=120, layout="constrained", facecolor="none")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="none")
    colours = [BEHIND, IN_FRONT][-len(histograms) :]
    for histogram, colour in zip(histograms, colours, strict=True):
        axes.stairs(histogram.counts, histogram.edges, fill=True, color=colour, label=histogram.label)
    first, last = histograms[0].edges[0], histograms[0].edges[-1]
    for value in lines:
        if first <= value <= last:
            axes.axvline(value, color=LINE, linestyle="--", linewidth=1.5, label=f"threshold {value:g}")
    axes.set_xlabel(labels[0], color=INK)
    axes.set_ylabel(labels[1], color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=INK)
    figure.savefig(file, metadata={"Software": None}, transparent=True)
