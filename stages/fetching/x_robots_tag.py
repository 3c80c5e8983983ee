"""X-Robots-Tag: what a response says its body is not for.

https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag; ``noai``, ``noimageai`` and ``noml`` are
in no specification, but hosts use them.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import MultiMapping

from stages.fetching.verdict import Verdict

__all__ = ["verdict"]

HEADER: Final = "X-Robots-Tag"
OPT_OUT: Final = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
"""``none`` is short for ``noindex, nofollow``."""
VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives that a colon and a value follow, where else a colon follows a crawler's name."""
CLOCK: Final = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
"""A time of day, the only other place of a colon."""


def verdict(headers: MultiMapping[str], product: str) -> Verdict:
    """Tell whether a response lets its body be used; a directive counts if it is for everybody or for us.

    Args:
        product: our agent's name, in small letters.
    """
    values = headers.getall(HEADER, ())
    for value in values:
        directive = _opt_out(value, product)
        if directive:
            return Verdict("x_robots_tag", False, f"{HEADER}: {directive}")
    return Verdict("x_robots_tag", True, f"{HEADER}: {'no rule' if values else 'no header'}")


def _opt_out(value: str, product: str) -> str | None:
    """Return the directive of one header that forbids our use; a crawler's name holds until the next one."""
    crawler = "*"
    for item in re.split("[,;]", CLOCK.sub("", value.lower())):
        name, colon, rest = (part.strip() for part in item.partition(":"))
        if colon and name not in VALUED | OPT_OUT:
            crawler, name = name.partition("/")[0], rest
        if name in OPT_OUT and crawler in ("*", product):
            return name if crawler == "*" else f"{crawler}: {name}"
    return None
