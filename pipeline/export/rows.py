"""Dataset rows as the trainers' formats take them: checked, and with no placeholder that is not meant as one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.errors import FatalError
from stages.context import without_placeholders

__all__ = ["PLACEHOLDER", "Picture", "Row", "read_rows"]

PLACEHOLDER = "<image>"
"""Where an image goes, for LLaVA, LLaMA-Factory and the processors of Transformers alike."""

ROLES = ("user", "assistant")

EXTENSIONS = {"jpeg": "jpg", "tiff": "tif", "mpo": "jpg"}


@dataclass(frozen=True)
class Picture:
    """An image as the dataset holds it: ``content``, its bytes, and the ``extension`` that goes with them, no dot."""

    content: bytes
    extension: str


@dataclass(frozen=True)
class Row:
    """One conversation.

    Attributes:
        number: its place in the split, from 0.
        id, kind: of the dataset; ``kind`` is empty where the dataset has none.
        pictures: its images.
        messages: ``(role, content)``: user and assistant in turn, user first. No content holds a media placeholder.
        changed: contents in which a literal placeholder was taken apart.
        fields: every other column that is no media.
    """

    number: int
    id: str
    kind: str
    pictures: Sequence[Picture]
    messages: Sequence[tuple[str, str]]
    changed: int
    fields: Mapping[str, Any]


def read_rows(table: pa.Table, split: str, first: int) -> Iterator[Row]:
    """Yield the rows of a table.

    Args:
        table: rows of the dataset.
        split: where they are from, for messages.
        first: number of the table's first row.

    Raises:
        FatalError: a row no trainer could read; it is named.
    """
    held = [field.name for field in table.schema if field.name == "images" or not _holds_bytes(field.type)]
    for number, row in enumerate(table.select(held).to_pylist(), first):
        place = f"{split}, row {number} (id {row['id']!r})"
        contents = [without_placeholders(text) for text in _turns(row["messages"], place)]
        changed = sum(before["content"] != after for before, after in zip(row["messages"], contents, strict=True))
        yield Row(
            number=number,
            id=row.pop("id"),
            kind=row.pop("kind", None) or "",
            pictures=[_picture(image, place) for image in row.pop("images") or ()],
            messages=list(zip(_alternating(len(contents)), contents, strict=True)),
            changed=changed,
            fields={name: value for name, value in row.items() if name != "messages"},
        )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _alternating(count: int) -> list[str]:
    return [ROLES[turn % 2] for turn in range(count)]


def _turns(messages: Sequence[Mapping[str, str]] | None, place: str) -> list[str]:
    """Return the contents of a conversation that alternates, begins with the user and ends with an answer."""
    roles = [message["role"] for message in messages or ()]
    if not roles or len(roles) % 2 or roles != _alternating(len(roles)):
        raise FatalError(f"{place}: messages are not user and assistant in turn, but {', '.join(roles) or 'none'}")
    return [message["content"] for message in messages or ()]


def _picture(image: Mapping[str, Any] | None, place: str) -> Picture:
    from PIL import Image, UnidentifiedImageError

    content = (image or {}).get("bytes")
    if not content:
        raise FatalError(f"{place}: an image has no bytes")
    try:
        with Image.open(io.BytesIO(content)) as opened:
            name = str(opened.format).lower()
    except (UnidentifiedImageError, OSError) as error:
        raise FatalError(f"{place}: an image does not open: {error}") from error
    return Picture(content, EXTENSIONS.get(name, name))
