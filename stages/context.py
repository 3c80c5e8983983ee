"""How a sample becomes the text an LLM sees.

The shape follows LLaVA's caption-and-box contexts (haotian-liu/LLaVA, playground/data/prompts), with
section headings, between two lines that fence it off as data. The demo's own language model is trained on exactly
this text without the fence: changing it means training that again.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

__all__ = ["FENCE", "MARKUP", "Box", "caption_message", "one_line", "user_message", "without_placeholders"]

MAX_CAPTIONS = 8
MAX_CAPTION_CHARACTERS = 500
MAX_TRANSCRIPTS = 8
MAX_BOXES = 40

FENCE = ("<data>", "</data>")
"""The lines before and after what is known of a sample."""

TAG = re.compile(r"<(?=[|/!<A-Za-z])")
"""Where a tag may begin: the fence, a chat template's token, HTML."""

BREAKS = {"Cc", "Zl", "Zp"}
"""Unicode categories of control characters, line and paragraph separators."""


MARKUP = re.compile(r"<\||</?(image|im_|s>|start_of|end_of|eot|audio|video)", re.IGNORECASE)
"""Text that trainers read as a place for an image or as the end of a turn: it must not enter a message."""


PLACEHOLDER = re.compile(r"<(image|video|audio)>")
"""What LLaMA-Factory counts in a text (its ``IMAGE_PLACEHOLDER``, ``VIDEO_PLACEHOLDER``, ``AUDIO_PLACEHOLDER``), and
processors of Transformers take for the place of an image."""


class Box(TypedDict):
    """One object: its label and [x1, y1, x2, y2], 0-1, top-left and bottom-right."""

    label: str
    box: Sequence[float]


def user_message(
    captions: Sequence[str],
    boxes: Sequence[Box] | None,
    transcript: str | None,
    kind: str,
    dense_caption: str | None = None,
) -> str:
    """Return the user turn that asks for one kind of conversation about one sample.

    Sections without content are left out. Boxes of None are unknown, so there is no section; an empty list
    says that the image holds no object. A dense caption stands for the transcript it was made of. Of more than
    ``MAX_BOXES`` boxes the largest are kept, and the others counted by label; lines are sorted by label, then from
    left to right, then from the top.
    """
    lines = [f"- {caption}" for caption in _captions(captions)]
    dense, spoken = _datum(dense_caption or ""), _datum(transcript or "")
    sections = [
        "Captions:\n" + "\n".join(lines) if lines else "",
        "" if boxes is None else "Objects:\n" + _objects(boxes),
        f"Detailed caption:\n{dense}" if dense else f"Spoken description:\n{spoken}" if spoken else "",
    ]
    return _fenced(sections, kind)


def caption_message(transcripts: Sequence[str]) -> str:
    """Return the user turn that asks for one caption of an image from what people said of it."""
    lines = [f"- {said}" for said in filter(None, map(_datum, transcripts))]
    return _fenced(["Transcripts:\n" + "\n".join(lines[:MAX_TRANSCRIPTS])], "caption")


def _fenced(sections: Sequence[str], kind: str) -> str:
    told = "\n\n".join(section for section in sections if section)
    begin, end = FENCE
    return f"{begin}\n{told}\n{end}\n\nWrite: {kind}" if told else f"Write: {kind}"


def one_line(text: str) -> str:
    """Collapse white space and control characters to single spaces.

    Captions and labels are data from the web: on one line, they cannot pass for a section of the message.
    """
    spaced = "".join(" " if unicodedata.category(sign) in BREAKS else sign for sign in text)
    return " ".join(spaced.split())


def without_placeholders(text: str) -> str:
    """Take literal placeholders apart: ``<image>`` in a text means no image, but every trainer would look for one."""
    return PLACEHOLDER.sub(r"< \1 >", text)


def _datum(text: str) -> str:
    """Return text of a sample on one line, in which no tag begins: it can neither end the fence nor a turn."""
    return TAG.sub("< ", one_line(text))


def _captions(captions: Sequence[str]) -> list[str]:
    cleaned = (_datum(caption or "")[:MAX_CAPTION_CHARACTERS].rstrip() for caption in captions)
    return [caption for caption in cleaned if caption][:MAX_CAPTIONS]


def _objects(boxes: Sequence[Box]) -> str:
    if not boxes:
        return "none"
    kept = sorted(sorted(boxes, key=_order), key=_area, reverse=True)[:MAX_BOXES]
    lines = [f"{_datum(box['label'])}: [{', '.join(f'{edge:.3f}' for edge in box['box'])}]"
             for box in sorted(kept, key=_order)]
    left_out = Counter(_datum(box["label"]) for box in boxes) - Counter(_datum(box["label"]) for box in kept)
    if left_out:
        counted = ", ".join(f"{label} {number}" for label, number in sorted(left_out.items()))
        lines.append(f"({left_out.total()} smaller objects left out: {counted})")
    return "\n".join(lines)


def _order(box: Box) -> tuple[str, float, float]:
    return box["label"], box["box"][0], box["box"][1]


def _area(box: Box) -> float:
    x1, y1, x2, y2 = box["box"]
    return (x2 - x1) * (y2 - y1)
