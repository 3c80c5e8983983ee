"""What betrays that the writer did not see the image: its sources, coordinates, or that it is a program."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["POINTS", "mentions"]

POINTS = re.compile(r"<points?\b[^<>]*>(?P<name>[^<]*)</points?>")
"""PixMo's tag for points, whose numbers are wanted."""

SOURCE = r"(?:captions?|annotations?|metadata|bounding box(?:es)?|transcripts?|transcription)"
GIVEN = r"(?:text|information|details?|data|context|descriptions?|input|content|list|labels?|prompt|objects?)"
BY = (
    r"(?:according to|based on|judging (?:by|from)|from|"
    r"as (?:stated|mentioned|described|listed|indicated|noted) (?:in|by))"
)
TELLS = r"(?:mentions?|says?|states?|tells?|describes?|indicates?|does not|doesn't|do not)"
CANNOT = r"(?:cannot|can't|can not|could not|couldn't|unable to|not able to|do not have the ability to)"

ANYBODY = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bbounding[- ]box(?:es)?\b",
        r"\bcoordinates?\b",
        r"[\[(]\s*[01]?\.\d+\s*,\s*[01]?\.\d+",
        r"\b0\.\d{2,}\b",
        r"\b(?:as|i am|i'm|being) (?:just |only |merely )?an? (?:\w+[- ]){0,2}"
        r"(?:ai|language model|llm|assistant|chatbot|program)\b",
        rf"\b{BY} (?:the |these |this |your |my )?(?:\w+ )?(?:{SOURCE}|(?:given|provided|supplied|available) {GIVEN}|"
        r"(?:image |scene |photo )?descriptions?)\b",
        rf"\b(?:the|these|this|one|in|your) (?:\w+ )?{SOURCE}\b",
        rf"\b(?:given|provided|supplied) (?:{SOURCE}|{GIVEN})\b",
        rf"\b(?:the|image|scene|spoken|written|photo|picture) descriptions? {TELLS}\b",
        r"\b(?:object list|list of objects|detected objects?|object detections?|labell?ed objects?)\b",
        r"\b(?:speaker|narrator) (?:says|mentions|describes|tells|notes|adds|explains|points out|goes on)\b",
        rf"\b{CANNOT} (?:\w+ )?(?:see|view|look at|access|open|analy[sz]e|process) "
        r"(?:the |this |that |your |any |an )?(?:images?|pictures?|photos?)\b",
        r"\bi (?:was|have been|am)(?: just| only)? (?:told|given|informed)\b",
    )
]
ASSISTANT = [re.compile(pattern, re.IGNORECASE) for pattern in (r"\bcaptions?\b", r"\btext-based\b")]
"""What only an answer must not say: a question may ask for a caption."""


def mentions(content: str, role: str) -> Iterator[tuple[int, int, str]]:
    """Yield the characters and a message for each place that mentions a source, coordinates or the writer."""
    text = POINTS.sub(lambda found: " " * len(found[0]), content)
    end = 0
    spans = [found.span() for pattern in _patterns(role) for found in pattern.finditer(text)]
    for start, stop in sorted(spans):
        if start >= end:
            yield start, stop, f"it says {content[start:stop]!r}, as somebody who looks at the image would not"
            end = stop


def _patterns(role: str) -> list[re.Pattern[str]]:
    return ANYBODY if role == "user" else [*ANYBODY, *ASSISTANT]
