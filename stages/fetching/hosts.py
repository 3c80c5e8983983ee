"""Politeness: whose turn it is at each host, and which hosts are given up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Final

from schemas.errors import Reject
from stages.fetching.machine import MachineLimits
from stages.fetching.settings import FetchSettings

__all__ = ["Host", "Hosts", "Limits"]

PUBLIC_REQUESTS_PER_S: Final = 20.0
PUBLIC_CONNECTIONS: Final = 8
LOOK_AGAIN_S: Final = 0.02
"""How often a slot that another process holds is looked for."""
DOWN_S: Final = 60.0
"""How long a dead host is left alone."""
REFUSAL_S: Final = 1.0
"""Refusals (429, 503) within so long of the first, or within the wait that it asked for, are one."""
HOST_SHARE: Final = 0.75
"""How much of ``max_in_flight`` one host may take, so that a slow one leaves room for others."""
MOST_REMEMBERED: Final = 10_000
"""Failing hosts that are remembered while nobody asks them."""


@dataclass(frozen=True)
class Limits:
    """What one machine may ask of one host; 0 is no limit."""

    requests_per_s: float
    connections: int

    @property
    def burst(self) -> float:
        """Requests that may come at once after a rest: a second's worth."""
        return max(1.0, self.requests_per_s)


@dataclass
class Host:
    """A host as one process knows it.

    Attributes:
        name: host and port.
        users: URLs that wait for it or ask it now.
        failures: attempts in a row that ended without any answer, or waits that ended in another refusal.
        down_until, refused_until: by the monotonic clock.
        last: how the last of them ended.
    """

    name: str
    limits: Limits
    connections: asyncio.Semaphore
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    failures: int = 0
    down_until: float = 0.0
    refused_until: float = 0.0
    last: Reject | None = None

    def answered(self) -> None:
        """It lives."""
        self.failures, self.down_until, self.last = 0, 0.0, None

    def failed(self, reject: Reject, most: int) -> None:
        """It gave no answer; after ``most`` times in a row it is given up for a while."""
        self.failures, self.last = self.failures + 1, reject
        if most and self.failures >= most:
            self.down_until = time.monotonic() + DOWN_S

    def refused(self, reject: Reject, wait_s: float, most: int) -> None:
        """It asked to be left alone for so long. That is one failure, however many were asking at the time."""
        now = time.monotonic()
        if now >= self.refused_until:
            self.failed(reject, most)
            self.refused_until = now + max(wait_s, REFUSAL_S)

    def check(self) -> None:
        """Raise what it failed with last, while it is given up."""
        if self.last is not None and time.monotonic() < self.down_until:
            detail = f"{self.name} given up after {self.failures} failures in a row, the last: {self.last.detail}"
            raise Reject(self.last.reason, detail)


class Hosts:
    """The hosts in use.

    Args:
        settings: the limits.
        machines: how many machines share them.
    """

    def __init__(self, settings: FetchSettings, machines: int) -> None:
        self.settings = settings
        self.machines = machines
        self.machine = MachineLimits(settings.retry_after_max_s + 60)
        self.known: dict[str, Host] = {}

    @asynccontextmanager
    async def turn(self, name: str, *, named: bool, crawl_delay_s: float | None) -> AsyncIterator[Host]:
        """Wait for one's turn at a host, and give it back at the end.

        Args:
            name: host and port.
            named: ``allow_hosts`` names it.
            crawl_delay_s: seconds between two requests that it asks for.

        Raises:
            Reject: the host is given up.
        """
        host = self._host(name, named, crawl_delay_s)
        host.users += 1
        try:
            host.check()
            async with host.connections:
                slot = await self._slot(host)
                try:
                    async with host.queue:  # one waits for a token at a time: a killed process wastes one at most
                        host.check()
                        await asyncio.sleep(self._token_wait_s(host))
                    host.check()
                    yield host
                finally:
                    if slot is not None:
                        slot.close()
        finally:
            host.users -= 1
            if not host.users and (not host.failures or len(self.known) > MOST_REMEMBERED):
                self.known.pop(host.name, None)

    def pause(self, host: Host, seconds: float) -> None:
        """Leave a host alone for a while, in every process of this machine."""
        self.machine.pause(host.name, seconds, host.limits.requests_per_s, host.limits.burst)

    def _host(self, name: str, named: bool, crawl_delay_s: float | None) -> Host:
        if name not in self.known:
            limits = self._limits(named, crawl_delay_s)
            share = max(1, int(self.settings.max_in_flight * HOST_SHARE))
            self.known[name] = Host(name, limits, asyncio.Semaphore(min(limits.connections or share, share)))
        return self.known[name]

    def _limits(self, named: bool, crawl_delay_s: float | None) -> Limits:
        wanted = self.settings
        per_s = wanted.host_requests_per_s
        connections = wanted.host_connections
        if per_s is None:
            per_s = 0.0 if named else PUBLIC_REQUESTS_PER_S
        if connections is None:
            connections = 0 if named else PUBLIC_CONNECTIONS
        if crawl_delay_s:
            per_s = min(per_s or 1 / crawl_delay_s, 1 / crawl_delay_s)
        shared = -(-connections // self.machines)  # rounded up: every machine may have one
        return Limits(per_s / self.machines, shared)

    async def _slot(self, host: Host) -> IO[bytes] | None:
        """Return one of the machine's connections to the host, to be closed; None where there is no limit."""
        if not host.limits.connections:
            return None
        while (slot := self.machine.take_slot(host.name, host.limits.connections)) is None:
            await asyncio.sleep(LOOK_AGAIN_S * random.uniform(0.5, 1.5))
        return slot

    def _token_wait_s(self, host: Host) -> float:
        return self.machine.take_token(host.name, host.limits.requests_per_s, host.limits.burst)
