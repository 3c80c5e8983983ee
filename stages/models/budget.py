"""A hard limit of what a stage may spend, held by all its processes together."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Paused
from stages.models.chat import ChatReply, ChatRequest, Prices
from stages.models.response_log import ResponseLog
from stages.models.tokens import estimated_tokens

__all__ = ["Budget"]

MARGIN = 1.5
"""A prompt may be so many times the estimated tokens."""

LEDGER = "allowances.json"
ADVANCES = 4
"""A process takes a quarter of its share of what is left at a time, so that none runs dry while others have plenty."""


class Budget:
    """Lets requests pass as long as even their highest price keeps within the limit (``stages.models.chat.Gate``).

    Each process has an allowance, written down beside the logs under a lock, and never spends more. What it has spent
    is in its log; the allowance of a process that is gone counts only as far as it was spent. In an object store,
    where nothing can be locked, each process takes its share of what is left when it first spends.

    Args:
        prices: what a token costs.
        max_usd: the limit.
        max_tokens: of a reply.
        log: the replies of all processes.
        actors: how many processes there may be.
    """

    def __init__(self, prices: Prices, max_usd: float, max_tokens: int, log: ResponseLog, actors: int) -> None:
        self.pending = 0
        self.outside = 0.0
        self._prices, self._max_usd, self._max_tokens = prices, max_usd, max_tokens
        self._log, self._actors = log, actors
        self._spent = self._reserved = self._allowance = self._wanted = 0.0
        self._lock = threading.Lock()

    def worst(self, request: ChatRequest) -> float:
        """Return what a request may cost at most, in dollars."""
        return self._prices.usd(MARGIN * estimated_tokens(request), self._max_tokens)

    def take(self, usd: float) -> bool:
        """Reserve so much, or tell that it is not there."""
        with self._lock:
            self._wanted = usd
            missing = self._spent + self._reserved + self.outside + usd - self._allowance
            if missing > 0 and not self._extend(missing):
                return False
            self._reserved += usd
            self.pending += 1
            return True

    def release(self, usd: float) -> None:
        """Give back what was reserved for a request that has come back."""
        with self._lock:
            self.pending -= 1
            self._reserved = self._reserved - usd if self.pending else 0.0  # no rounding error stays behind

    def book(self, reply: ChatReply) -> None:
        """Count what a reply cost."""
        with self._lock:
            self._spent += self._prices.usd(reply.input_tokens, reply.output_tokens)

    def exhausted(self) -> Paused:
        """Return the error that says so."""
        self._log.refresh()
        spent = sum(self._log.spent().values()) + self._spent
        return Paused(
            f"max_usd = {self._max_usd:g} is used up: {spent:.4f} USD are spent, and the next request may cost "
            f"{self._wanted:.4f}; raise it and run again to go on"
        )

    def _extend(self, missing: float) -> bool:
        """Raise the allowance by what is missing, or more, if the others leave so much."""
        if not self._log.folder.is_local:
            return self._take_share(missing)
        own = self._log.own_file()
        with self._ledger():
            self._log.refresh()
            allowances: dict[str, float] = self._log.folder.read_json(LEDGER) or {}
            spent = self._log.spent()
            others = sum(
                max(spent.get(name, 0.0), allowances.get(name, 0.0) if self._log.is_in_use(name) else 0.0)
                for name in {*spent, *allowances} - {own}
            )
            left = self._max_usd - others - self._allowance
            if left < missing:
                return False
            self._allowance += max(missing, left / (ADVANCES * self._actors))
            self._log.folder.write_json(LEDGER, {**allowances, own: self._allowance})
        return True

    def _take_share(self, missing: float) -> bool:
        if self._allowance:
            return False
        self._allowance = (self._max_usd - sum(self._log.spent().values())) / self._actors
        return missing <= self._allowance

    @contextmanager
    def _ledger(self) -> Iterator[None]:
        descriptor = os.open(self._log.folder.path(".allowances.lock"), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
