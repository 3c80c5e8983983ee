"""``why``: everything that happened to one sample."""

from __future__ import annotations

from typing import Any

from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from schemas.columns import BOOKKEEPING, DETAIL, LIVE, REASON
from schemas.errors import ConfigError, Mistake

__all__ = ["Chapter", "story"]

Chapter = dict[str, Any]
"""``stage``, ``state`` (kept, rejected, not reached), ``reason``, ``detail`` and ``values`` of one stage."""


def story(run: RunDirectory, sample_id: str) -> list[Chapter]:
    """Return what each stage did with a sample, in order.

    Raises:
        ConfigError: the run has no such sample.
    """
    for part in run.parts():
        ids = run.read(SOURCE_FOLDER, part, ["id"])["id"].to_pylist()
        if sample_id in ids:
            return _chapters(run, part, ids.index(sample_id))
    raise ConfigError(run.storage.url, [Mistake("SAMPLE_ID", sample_id, "no sample has this id")])


def _chapters(run: RunDirectory, part: int, row: int) -> list[Chapter]:
    chapters = []
    live = True
    for name, folder in run.stage_folders().items():
        chapter: Chapter = {"stage": name}
        if not live or run.report(folder, part) is None:
            chapters.append({**chapter, "state": "not reached"})
            live = False
            continue
        values = run.read(folder, part).slice(row, 1).to_pylist()[0]
        live = values[LIVE]
        if not live:
            chapter |= {"reason": values[REASON], "detail": values[DETAIL]}
        shown = {name: _shown(value) for name, value in values.items() if name not in BOOKKEEPING.names}
        chapters.append({**chapter, "state": "kept" if live else "rejected", "values": shown})
    return chapters


def _shown(value: Any) -> Any:
    """Return a value as a person can read it: bytes by their length, long vectors by theirs."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        is_vector = len(value) > 16 and all(isinstance(item, float) for item in value)
        return f"<vector of {len(value)}>" if is_vector else [_shown(item) for item in value]
    return value
