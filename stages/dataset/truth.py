"""What the stages did against planted trouble whose truth is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Against", "against_truth", "read_truth"]


@dataclass(frozen=True)
class Against:
    """One kind of trouble, and what became of it.

    Attributes:
        trouble: its name; ``sound`` for the rows without any.
        planted: rows that have it.
        rejected: how many of them were rejected.
        reasons: by which stage and reason.
    """

    trouble: str
    planted: int
    rejected: int
    reasons: Mapping[str, int]

    @property
    def recall(self) -> float:
        """Share of the planted rows that was rejected."""
        return self.rejected / self.planted if self.planted else 0.0


def read_truth(file: str) -> dict[str, str | None]:
    """Read JSON lines of ``{"id", "trouble"}``; a null trouble is a sound row.

    Raises:
        ValueError: a line is something else.
    """
    truth: dict[str, str | None] = {}
    for number, line in enumerate(Path(file).read_bytes().splitlines(), start=1):
        try:
            if line.strip():
                row = json.loads(line)
                truth[row["id"]] = row["trouble"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {number} is no JSON object with id and trouble: {error!r}") from error
    return truth


def against_truth(truth: Mapping[str, str | None], rejects: Iterable[tuple[str, str, str]]) -> list[Against]:
    """Compare rejects with the truth.

    Args:
        truth: sample id -> trouble.
        rejects: ``(id, stage, reason)`` of every rejected row.

    Returns:
        One entry per kind of trouble, by name, the sound rows last.
    """
    why = {row_id: f"{stage}: {reason}" for row_id, stage, reason in rejects}
    found = []
    for trouble in (*sorted({trouble for trouble in truth.values() if trouble}), None):
        ids = [row_id for row_id, planted in truth.items() if planted == trouble]
        reasons = Counter(why[row_id] for row_id in ids if row_id in why)
        found.append(Against(trouble or "sound", len(ids), sum(reasons.values()), dict(sorted(reasons.items()))))
    return found
