"""How fast requests go out: as many at once as the server bears, so many a minute, and how long to wait after a no."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections import deque
from collections.abc import Callable, Mapping

__all__ = ["LONGEST_WAIT_S", "Pace", "RateLimit", "backoff_s", "retry_after_s"]

INCREASE = 2.0
"""Requests added to those in flight each time a whole round of them has come back."""

BURST_S = 5.0
"""A rate limit lets out at once what it would let out in this time."""

FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 120.0
"""A server that asks for a longer wait is asked again after this one."""

Clock = Callable[[], float]


class Pace:
    """How many requests are in flight at once: more when all is well, fewer when the server refuses.

    Additive increase, multiplicative decrease, once a round (as many outcomes as requests were in flight when it
    began). The decrease follows the share of refusals, as in DCTCP (Alizadeh et al. 2010): a server that refuses
    everything halves the number; single refusals that come and go barely change it.

    Args:
        most: the bound that is never passed; what it starts with.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self._seen = self._refused = 0
        self._round = most
        self._held_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, again: bool = False) -> None:
        """Wait for a place in flight; a request that is sent again stands in front."""
        if self._is_full() or (self._waiting and not again):
            place = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if again else self._waiting.append)(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.cancelled():
                    self._waiting.remove(place)
                else:  # let in and cancelled at the same moment
                    self.in_flight -= 1
                    self._wake()
                raise
            return
        self.in_flight += 1

    def leave(self, refused: bool) -> None:
        """Give the place back and learn from the outcome."""
        self.in_flight -= 1
        self._seen += 1
        self._refused += refused
        if self._seen >= self._round:
            share = self._refused / self._seen
            self.limit = max(1.0, min(self.most, self.limit * (1 - share / 2) + (INCREASE if share < 1 else 0)))
            self._seen = self._refused = 0
            self._round = int(self.limit)
        self._wake()

    def hold(self, seconds: float) -> None:
        """Let nobody in for a while, if most of this round was refused: the server means all of us."""
        if 2 * self._refused < self._round:
            return
        loop = asyncio.get_running_loop()
        self._held_until = max(self._held_until, loop.time() + seconds)
        loop.call_at(self._held_until, self._wake)

    def _is_full(self) -> bool:
        return self.in_flight >= int(self.limit) or asyncio.get_running_loop().time() < self._held_until

    def _wake(self) -> None:
        while self._waiting and not self._is_full():
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)


class RateLimit:
    """So much a minute, spread evenly, with small bursts.

    Args:
        per_min: how much; None sets no limit.
        clock: seconds that only grow.
    """

    def __init__(self, per_min: float | None, clock: Clock = time.monotonic) -> None:
        self._each_s = 60 / per_min if per_min else 0.0
        self._clock = clock
        self._next = clock() - BURST_S

    def take(self, amount: float) -> float:
        """Take an amount and return how many seconds to wait before it may be used.

        A negative amount gives back what was taken too much.
        """
        now = self._clock()
        start = max(self._next, now - BURST_S)
        self._next = start + amount * self._each_s
        return max(0.0, start - now)


def backoff_s(attempt: int, draw: Callable[[], float] = random.random) -> float:
    """Return how long to wait after so many failures (0 for the first): doubling, half of it by chance."""
    return float(min(LONGEST_BACKOFF_S, FIRST_WAIT_S * 2 ** min(attempt, 10)) * (1 + draw()) / 2)


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return how long the server asks to wait, at most ``LONGEST_WAIT_S``; None where it does not say.

    ``Retry-After`` is seconds or a date (RFC 9110, 10.2.3); ``retry-after-ms`` is OpenAI's own.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal():
            return min(LONGEST_WAIT_S, float(value) * unit)
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else min(LONGEST_WAIT_S, max(0.0, email.utils.mktime_tz(date) - now()))
