"""A short description: one of the captions."""

from __future__ import annotations

import random

from stages.checks import CheckConfig, Context, check
from stages.context import one_line
from stages.templating.exchange import Exchange
from stages.wordings import BRIEF

__all__ = ["brief"]

NOT_OURS = CheckConfig(
    types=["schema", "length", "mention", "object", "count", "position", "colour", "text"], max_words=60
)
"""A caption is not our sentence, so it is checked; not for its language, which is the dataset's."""


def brief(context: Context, best: int | None, rng: random.Random) -> list[Exchange]:
    """Return a caption as the answer: the first that passes the check, the best before the others.

    Args:
        context: what is known of the image.
        best: place of the caption to prefer, if there is one.
        rng: draws the wording.
    """
    captions = [one_line(caption or "") for caption in context.captions]
    preferred = [captions[best]] if best is not None and 0 <= best < len(captions) else []
    question = rng.choice(BRIEF)
    for caption in filter(None, [*preferred, *captions]):
        exchange = Exchange(question, _sentence(caption))
        if not check({"messages": exchange.messages()}, context, NOT_OURS):
            return [exchange]
    return []


def _sentence(caption: str) -> str:
    """Return the caption with a capital letter and a full stop."""
    ended = caption if caption[-1] in ".!?…\"'" else f"{caption}."
    return ended[0].upper() + ended[1:]
