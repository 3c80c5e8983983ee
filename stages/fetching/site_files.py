"""Small files of rules that sites keep at a fixed place: asked for once a site, and remembered."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from yarl import URL

from schemas.errors import Reject
from schemas.storage import Storage
from stages.fetching.machine import MachineLimits

__all__ = ["Answer", "Ask", "SiteFiles"]

RulesT = TypeVar("RulesT")

LASTS_S: Final = 24 * 3600.0
"""How long an answer is good for (RFC 9309, 2.4)."""
PASSING_S: Final = 60.0
"""How long a failure is: a dead site costs one attempt, not one a URL, and has its chance again."""
MOST_SITES: Final = 1000
"""Sites whose rules one process keeps in memory; the others' are read from the cache again."""


@dataclass(frozen=True)
class Answer:
    """What a host answered to a request for a small text.

    Attributes:
        status: of the last answer, redirects followed; 3xx where there were too many of them.
        text: its body, cut at the most bytes asked for.
    """

    status: int
    text: str

    @property
    def is_found(self) -> bool:
        """There is such a file."""
        return 200 <= self.status < 300

    @property
    def is_passing(self) -> bool:
        """The host may say something else in a minute."""
        return self.status == 429 or self.status >= 500


Ask = Callable[[URL, int], Awaitable[Answer]]
"""Fetches a small text, given its URL and the most bytes to take; raises Reject where there is no answer."""


@dataclass(frozen=True)
class _Known(Generic[RulesT]):
    """What is known of one site, or being found out."""

    task: asyncio.Task[tuple[RulesT | Reject, float]]

    def is_stale(self) -> bool:
        if not self.task.done():
            return False
        if self.task.cancelled() or self.task.exception() is not None:
            return True
        return time.time() >= self.task.result()[1]


class SiteFiles(Generic[RulesT]):
    """One file of rules of every site; a site is an origin: scheme, host and port.

    Who asks at the same time waits for the same request, in other processes of the machine too. Answers are kept in
    ``cache``, so that other processes and a continued run need not ask; failures are kept in memory only, so that
    each process makes its own.

    Args:
        path: where sites keep the file.
        max_bytes: how much of it is read.
        parse: makes rules of the file's URL and the answer; never raises.
        cache: a folder of the run directory.
        machine: lets one process at a time ask a site.
        ask: fetches the file.
        passing_s: how long a failure is remembered, in seconds.
    """

    def __init__(
        self, path: str, max_bytes: int, parse: Callable[[str, Answer], RulesT], cache: Storage,
        machine: MachineLimits, ask: Ask, passing_s: float = PASSING_S,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.parse = parse
        self.cache = cache
        self.machine = machine
        self.ask = ask
        self.passing_s = passing_s
        self.known: OrderedDict[URL, _Known[RulesT]] = OrderedDict()

    async def rules(self, url: URL) -> RulesT:
        """Return the rules of the URL's site; raises the Reject that asking for them ended in."""
        file_url = self._file_url(url)
        known = self.known.get(file_url)
        if known is None or known.is_stale():
            known = _Known(asyncio.create_task(self._find(file_url)))
            self.known[file_url] = known
            self._forget_oldest()
        self.known.move_to_end(file_url)
        found, _ = await asyncio.shield(known.task)  # who is cancelled does not take the others' answer along
        if isinstance(found, Reject):
            raise Reject(found.reason, found.detail)  # a new one: each raise adds to an error's traceback
        return found

    def rules_at_hand(self, url: URL) -> RulesT | None:
        """Return the rules of the URL's site if they are in memory."""
        known = self.known.get(self._file_url(url))
        if known is None or not known.task.done() or known.is_stale():
            return None
        found, _ = known.task.result()
        return None if isinstance(found, Reject) else found

    def _file_url(self, url: URL) -> URL:
        port = None if url.is_default_port() else url.explicit_port
        return url.origin().with_port(port).with_path(self.path)

    def _forget_oldest(self) -> None:
        if len(self.known) > MOST_SITES:
            oldest = next((one for one, known in self.known.items() if known.task.done()), None)
            if oldest is not None:
                del self.known[oldest]

    async def _find(self, file_url: URL) -> tuple[RulesT | Reject, float]:
        """Return the rules, or why there are none, and the time until which that holds."""
        stored = await asyncio.to_thread(self._stored, file_url)
        if stored is None:
            async with self.machine.alone("site", str(file_url)):
                stored = await asyncio.to_thread(self._stored, file_url)  # another process may have asked meanwhile
                if stored is None:
                    return await self._fresh(file_url)
        answer, until = stored
        return self.parse(str(file_url), answer), until

    async def _fresh(self, file_url: URL) -> tuple[RulesT | Reject, float]:
        """Ask the site, and keep what does not pass."""
        try:
            answer = await self.ask(file_url, self.max_bytes)
        except Reject as reject:
            return reject, time.time() + self.passing_s
        if answer.is_passing:
            return self.parse(str(file_url), answer), time.time() + self.passing_s
        text = answer.text if answer.is_found else ""
        answer = Answer(answer.status, text.encode(errors="replace").decode())
        until = time.time() + LASTS_S
        await asyncio.to_thread(self._store, file_url, answer, until)
        return self.parse(str(file_url), answer), until

    def _stored(self, file_url: URL) -> tuple[Answer, float] | None:
        match self.cache.read_json(_name(file_url)):
            case {"status": int(status), "text": str(text), "until": float(until)} if time.time() < until:
                return Answer(status, text), until
        return None

    def _store(self, file_url: URL, answer: Answer, until: float) -> None:
        value = {"url": str(file_url), "status": answer.status, "text": answer.text, "until": until}
        self.cache.write(_name(file_url), json.dumps(value).encode(), durable=False)  # if lost, it is asked for again


def _name(file_url: URL) -> str:
    return f"{hashlib.sha256(str(file_url).encode()).hexdigest()[:32]}.json"
