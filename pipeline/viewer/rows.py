"""The narrow columns of a part's rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.layout import Layout
from pipeline.part_view import PartView
from schemas.columns import CONVERSATIONS

__all__ = ["FACETS", "KEPT", "REJECTED", "UNFINISHED", "index_rows", "is_number", "score_columns"]

FACETS = ("state", "stage", "reason", "split", "kinds")

KEPT, REJECTED, UNFINISHED = "kept", "rejected", "unfinished"

COUNTED = ("conversation_count", "turn_count", "finding_count")
"""Numbers made here of a row's conversations."""

SPOKEN = ("captions", "transcripts")
WRITTEN = ("id", "image_url", "audio_url", "transcript", "dense_caption", "license")
CAPTION_LETTERS = 240


def score_columns(layout: Layout) -> list[str]:
    """Return what a row can be sorted by: every column of numbers, and counts of its conversations."""
    numbers = [name for name, place in layout.columns.items() if is_number(place.type)]
    return [*numbers, *(name for name in COUNTED if name not in numbers)]


def index_rows(part: PartView, first: int) -> pa.Table:
    """Return a part's rows for the index.

    Args:
        part: the part.
        first: the number of its first row among all rows.

    Returns:
        ``number``, ``part``, ``row``, ``id``, ``caption``, ``has_image``, ``has_audio``; ``state``, and where it is
        ``rejected`` also ``stage`` and ``reason``; ``split``, ``kinds``, the scores as float64, and ``text``:
        everything said in or about the row in lower case.
    """
    rows = part.rows
    talks = [_Talks(part.column(name)) for name in part.layout.of_type(CONVERSATIONS)]
    texts = list(_texts(part, talks))
    counted = dict(zip(COUNTED, _sums(talks, rows), strict=True))
    columns: dict[str, Any] = {
        "number": pa.array(range(first, first + rows), pa.uint32()),
        "part": pa.array([part.number] * rows, pa.int32()),
        "row": pa.array(range(rows), pa.int32()),
        "id": part.column("id"),
        "caption": pc.utf8_slice_codeunits(_shown(texts, part), 0, CAPTION_LETTERS),
        "has_image": part.has("image_bytes"),
        "has_audio": part.has("audio_bytes"),
        **_fates(part),
        "split": part.column("split") if "split" in part.layout.columns else pa.nulls(rows, pa.string()),
        "kinds": _kinds(talks, rows),
        **{
            name: part.column(name).cast(pa.float64()) if name in part.layout.columns else counted[name]
            for name in score_columns(part.layout)
        },
        "text": pc.utf8_lower(pc.binary_join_element_wise(*texts, "\n", null_handling="skip")),
    }
    return pa.table(columns)


class _Talks:
    """A column of conversations as flat arrays and where each row's begin: nothing becomes a Python object.

    Args:
        column: of type ``CONVERSATIONS``.
    """

    def __init__(self, column: pa.ListArray) -> None:
        self.offsets, talks = column.offsets, column.values
        self.kinds = talks.field("kind")
        messages, findings = talks.field("messages"), talks.field("findings")
        self.message_offsets = messages.offsets.take(self.offsets)
        self.contents = messages.values.field("content")
        self.finding_offsets = findings.offsets.take(self.offsets)

    def text(self) -> pa.Array:
        """Return each row's messages as one text."""
        return pc.binary_join(pa.ListArray.from_arrays(self.message_offsets, self.contents), "\n")


def _texts(part: PartView, talks: list[_Talks]) -> Iterator[pa.Array]:
    for name in SPOKEN:
        yield pc.binary_join(part.column(name), "\n")
    for name in WRITTEN:
        if name in part.layout.columns:
            yield part.column(name)
    for each in talks:
        yield each.text()


def _shown(texts: list[pa.Array], part: PartView) -> pa.Array:
    """Return what tells a row from another at a glance: its captions, else what was said, else what was written."""
    transcript = part.column("transcript") if "transcript" in part.layout.columns else pa.nulls(part.rows, pa.string())
    candidates = [texts[0], transcript, texts[1], *texts[len(SPOKEN) + len(WRITTEN) - 1 :]]
    return pc.coalesce(*(pc.if_else(pc.equal(text, ""), None, text) for text in candidates), "")


def _sums(talks: list[_Talks], rows: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return how many conversations, turns and findings each row has."""
    empty = pa.array([0.0] * rows, pa.float64())
    conversations, messages, findings = empty, empty, empty
    for each in talks:
        conversations = pc.add(conversations, _lengths(each.offsets))
        messages = pc.add(messages, _lengths(each.message_offsets))
        findings = pc.add(findings, _lengths(each.finding_offsets))
    return conversations, pc.divide(messages, 2), findings


def _lengths(offsets: pa.Array) -> pa.Array:
    return pc.subtract(offsets[1:], offsets[:-1]).cast(pa.float64())


def _kinds(talks: list[_Talks], rows: int) -> pa.Array:
    found: list[set[str]] = [set() for _ in range(rows)]
    for each in talks:
        for kinds, more in zip(found, pa.ListArray.from_arrays(each.offsets, each.kinds).to_pylist(), strict=True):
            kinds.update(more)
    return pa.array(map(sorted, found), pa.list_(pa.string()))


def _fates(part: PartView) -> dict[str, pa.Array]:
    """Return what became of each row."""
    stage = reason = pa.nulls(part.rows, pa.string())
    for name, rejected, reasons in part.rejects():
        stage = pc.if_else(rejected, name, stage)
        reason = pc.if_else(rejected, reasons, reason)
    alive = KEPT if part.is_finished else UNFINISHED
    return {"state": pc.if_else(part.live, alive, REJECTED), "stage": stage, "reason": reason}


def is_number(type_: pa.DataType) -> bool:
    """Tell whether a column holds one number a row."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))
