"""What can be wrong with one row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["row_problems"]

ROLES = ("user", "assistant")


def row_problems(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what was checked and what is wrong with a row, which has the dataset's columns but for media."""
    if not row["id"]:
        yield "id", "is empty"
    yield from _message_problems(row["messages"] or ())
    for number, box in enumerate(row["boxes"] or ()):
        if not _is_box(box):
            yield "boxes", f"box {number} is {box!r}, not a label and [x1, y1, x2, y2] from 0 to 1"
    for finding in row["findings"] or ():
        if not _points_into(finding, row["messages"] or ()):
            yield "findings", f"a finding points to no text of the conversation: {finding!r}"


def _message_problems(messages: Sequence[Mapping[str, Any] | None]) -> Iterator[tuple[str, str]]:
    if not messages:
        yield "messages", "there are none"
    elif len(messages) % 2:
        yield "messages", "do not end with an answer"
    for turn, message in enumerate(messages):
        role, content = (message or {}).get("role"), (message or {}).get("content")
        if role != ROLES[turn % 2]:
            yield "messages", f"turn {turn} is by {role!r}, not {ROLES[turn % 2]!r}"
        if not (content or "").strip():
            yield "messages", f"turn {turn} says nothing"


def _is_box(box: Mapping[str, Any] | None) -> bool:
    corners = (box or {}).get("box") or []
    if not (box or {}).get("label") or len(corners) != 4 or not all(_is_share(value) for value in corners):
        return False
    left, top, right, bottom = corners
    return bool(left <= right and top <= bottom)


def _is_share(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and 0 <= value <= 1


def _points_into(finding: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> bool:
    turn, start, end = finding["turn"], finding["start"], finding["end"]
    if turn is None or not 0 <= turn < len(messages):
        return False
    return start is None or end is None or 0 <= start <= end <= len(messages[turn]["content"] or "")
