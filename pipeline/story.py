"""``why``: everything that happened to one sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.compute as pc

from pipeline.ingest import SOURCE_REASONS
from pipeline.layout import Layout
from pipeline.part_view import PartView
from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from pipeline.shard_rows import shard_rows
from schemas.columns import BOOKKEEPING, DETAIL, LIVE, REASON
from schemas.errors import ConfigError, Mistake
from stages.catalogue import find

__all__ = ["Chapter", "chapters_of", "place_of", "story"]

Chapter = dict[str, Any]
"""What one stage did with the sample.

``stage``, ``state`` (kept, rejected, not reached), and where they apply: ``reason``, its ``meaning`` and ``detail``;
``settings`` of the stage as the config has them; ``rule``, what a filter compared (``settings`` has the threshold);
``fetches`` (``media``, ``url``, ``status``, ``kept_bytes``, ``sha256``); ``values``, what the stage added;
``exchanges``, what a chat model was asked and replied (``pipeline.exchanges``), or ``exchanges_missing``, why that
cannot be told.
The last chapter is ``dataset`` where there is one: ``rows``, the shards and rows the sample is in.
"""

NOT_REACHED = "not reached"


def story(run: RunDirectory, sample_id: str) -> list[Chapter]:
    """Return what each stage did with a sample, in order, with every prompt and reply.

    Raises:
        ConfigError: the run has no such sample.
    """
    part, row = place_of(run, sample_id)
    layout = Layout(run)
    chapters = chapters_of(layout, PartView(layout, part), row)
    _add_exchanges(chapters, layout, part, row)
    return chapters


def place_of(run: RunDirectory, sample_id: str) -> tuple[int, int]:
    """Return the part and the row of a sample; raises ConfigError where the run has no such sample."""
    for part in run.parts():
        row = pc.index(run.read(SOURCE_FOLDER, part, ["id"])["id"], sample_id).as_py()
        if row >= 0:
            return part, row
    raise ConfigError(run.storage.url, [Mistake("SAMPLE_ID", sample_id, "no sample has this id")])


def chapters_of(layout: Layout, view: PartView, row: int) -> list[Chapter]:
    """Return the story of a row but for what was said to chat models, which takes longer."""
    known: dict[str, Any] = {}
    steps = {step["name"]: (step["use"], step["settings"]) for step in layout.run.steps()}
    chapters = [_chapter(layout, view, row, place, steps, known) for place in range(len(layout.stages))]
    if rows := shard_rows(layout.run, known["id"], known.get("split")) if chapters[-1]["state"] == "kept" else []:
        chapters.append({"stage": "dataset", "state": "kept", "rows": rows})
    return chapters


def _chapter(
    layout: Layout, view: PartView, row: int, place: int, steps: Mapping[str, tuple[str, Mapping[str, Any]]],
    known: dict[str, Any],
) -> Chapter:
    """Return a stage's chapter, and enter what the stage found into ``known``."""
    name = layout.stages[place].name
    use, settings = steps.get(name, ("", {}))
    told: Chapter = {"stage": name} | ({"settings": dict(settings)} if settings else {})
    if place >= len(view.tables) or not view.entered[place][row].as_py():
        return {**told, "state": NOT_REACHED}
    values = view.tables[place].slice(row, 1).to_pylist()[0]
    told["state"] = "kept" if values[LIVE] else "rejected"
    if not values[LIVE]:
        told |= {"reason": values[REASON], "meaning": _meaning(use, values[REASON]), "detail": values[DETAIL]}
    if compared := _compared(use, settings, known):
        told["rule"] = compared
    added = {key: value for key, value in values.items() if key not in BOOKKEEPING.names}
    known |= added | {f"{name}.{key}": value for key, value in added.items()}
    if "http_status" in added and (fetches := list(_fetches(known, added))):
        told["fetches"] = fetches
    told["values"] = {key: _shown(value) for key, value in added.items()}
    return told


def _meaning(use: str, reason: str) -> str:
    if not use:
        return SOURCE_REASONS.get(reason, "")
    try:
        return find(use).reasons.get(reason, "")
    except ValueError:  # a stage of the user's own that is not here
        return ""


def _compared(use: str, settings: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a filter's expression read; empty for another stage."""
    if use != "filter":
        return {}
    from stages.expression import expression_of

    top = settings.get("keep_top")
    names = [top["column"]] if top else sorted(set(expression_of(str(settings["keep"])).meta.root_names()))
    return {name: _shown(known.get(name)) for name in names}


def _fetches(source: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what was fetched. There is one HTTP status a row: the image's, or the recording's if there is no image."""
    status = found["http_status"]
    for media, digest in (("image", "sha256"), ("audio", "audio_sha256")):
        url, data = source.get(f"{media}_url"), found.get(f"{media}_bytes")
        if url is not None:
            size = None if data is None else len(data)
            yield {"media": media, "url": url, "status": status, "kept_bytes": size, "sha256": found.get(digest)}
            status = None


def _add_exchanges(chapters: list[Chapter], layout: Layout, part: int, row: int) -> None:
    if not any(layout.run.storage.names(f"responses/{chapter['stage']}") for chapter in chapters):
        return
    from pipeline.exchanges import exchanges

    try:
        said = exchanges(layout, part, row)
    except ConfigError as error:
        said = {}
        chapters[0]["exchanges_missing"] = f"what was said to chat models cannot be told: {error}"
    for chapter in chapters:
        if chapter["stage"] in said:
            chapter["exchanges"] = said[chapter["stage"]]


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
