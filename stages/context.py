"""How a sample becomes the text an LLM sees.

The shape follows LLaVA's caption-and-box contexts (haotian-liu/LLaVA, playground/data/prompts), with
section headings. The demo's own language model is trained on exactly this text: changing it means training
that again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TypedDict

__all__ = ["MARKUP", "Box", "one_line", "user_message"]

MAX_CAPTIONS = 8
MAX_CAPTION_CHARACTERS = 500
MAX_BOXES = 40

BREAKS = {"Cc", "Zl", "Zp"}
"""Unicode categories of control characters, line and paragraph separators."""


MARKUP = re.compile(r"<\||</?(image|im_|s>|start_of|end_of|eot|audio|video)", re.IGNORECASE)
"""Text that trainers read as a place for an image or as the end of a turn: it must not enter a message."""


class Box(TypedDict):
    """One object: its label and [x1, y1, x2, y2], 0-1, top-left and bottom-right."""

    label: str
    box: Sequence[float]


def user_message(
    captions: Sequence[str], boxes: Sequence[Box] | None, transcript: str | None, kind: str
) -> str:
    """Return the user turn that asks for one kind of conversation about one sample.

    Sections without content are left out. Boxes of None are unknown, so there is no section; an empty list
    says that the image holds no object.
    """
    lines = [f"- {caption}" for caption in _captions(captions)]
    sections = [
        "Captions:\n" + "\n".join(lines) if lines else "",
        "" if boxes is None else "Objects:\n" + _objects(boxes),
        f"Spoken description:\n{spoken}" if (spoken := one_line(transcript or "")) else "",
        f"Write: {kind}",
    ]
    return "\n\n".join(section for section in sections if section)


def one_line(text: str) -> str:
    """Collapse white space and control characters to single spaces.

    Captions and labels are data from the web: on one line, they cannot pass for a section of the message.
    """
    spaced = "".join(" " if unicodedata.category(sign) in BREAKS else sign for sign in text)
    return " ".join(spaced.split())


def _captions(captions: Sequence[str]) -> list[str]:
    cleaned = (one_line(caption or "")[:MAX_CAPTION_CHARACTERS].rstrip() for caption in captions)
    return [caption for caption in cleaned if caption][:MAX_CAPTIONS]


def _objects(boxes: Sequence[Box]) -> str:
    if not boxes:
        return "none"
    kept = sorted(sorted(boxes, key=_order), key=_area, reverse=True)[:MAX_BOXES]
    lines = [f"{one_line(box['label'])}: [{', '.join(f'{edge:.3f}' for edge in box['box'])}]"
             for box in sorted(kept, key=_order)]
    left_out = len(boxes) - len(kept)
    return "\n".join([*lines, f"({left_out} smaller objects left out)"] if left_out else lines)


def _order(box: Box) -> tuple[str, float, float]:
    return box["label"], box["box"][0], box["box"][1]


def _area(box: Box) -> float:
    x1, y1, x2, y2 = box["box"]
    return (x2 - x1) * (y2 - y1)
