"""Pictures on the card."""

from __future__ import annotations

from pathlib import Path

__all__ = ["plot_scores"]


def plot_scores(scores: list[float], kept: list[float], file: Path) -> None:
    """Draw how CLIP scores lie: of all samples that were scored, and of those in the dataset.

    Args:
        scores, kept: raw cosines, -1 to 1.
        file: the PNG to write; legible on light and on dark.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    span = (min(scores), max(scores))
    axes.hist(scores, bins=40, range=span, color="#c9ced6", label=f"scored ({len(scores)})")
    axes.hist(kept, bins=40, range=span, color="#2f6f9f", label=f"in the dataset ({len(kept)})")
    axes.set_xlabel("CLIP score: cosine of image and best caption")
    axes.set_ylabel("samples")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Software": None})
