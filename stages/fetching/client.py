"""The HTTP client of ``download``: bounded in time and bytes, polite, with consent."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from schemas.errors import Reject
from schemas.storage import Storage
from stages.fetching.addresses import Gate, PublicResolver
from stages.fetching.consent import Answer, Consent, Verdict, refused
from stages.fetching.hosts import Hosts
from stages.fetching.settings import FetchSettings

__all__ = ["Client", "Fetched", "Trail"]

OWN_REASON: Final = frozenset({403, 404, 410, 429})
BACKOFF_S: Final = 0.5
READ_BYTES: Final = 1 << 18
BUSY: Final = frozenset({429, 503})
"""Statuses by which a host asks to be left alone."""
T = TypeVar("T")

KEEP_ALIVE_S: Final = 4.0
"""How long an idle connection is kept: among a million hosts few are asked again soon."""
GZIP_OR_ZLIB: Final = 47
"""``zlib``'s window bits that recognise either header."""


@dataclass(frozen=True)
class Fetched:
    """What a URL gave."""

    data: bytes
    status: int


class Trail:
    """What happened on the way to one URL, whatever its end.

    Attributes:
        verdicts: what the hosts on the way say about our use.
        status: the last HTTP status, if any answer came.
        counts: ``requests`` (answered or not), ``retries``, ``bytes_fetched``.
    """

    def __init__(self) -> None:
        self.verdicts: dict[Verdict, None] = {}
        self.status: int | None = None
        self.counts: Counter[str] = Counter()

    def agree(self, verdicts: list[Verdict]) -> None:
        """Note verdicts; raises Reject if one of them says no."""
        self.verdicts |= dict.fromkeys(verdicts)
        if reject := refused(verdicts):
            raise reject


class _TransientError(Exception):
    """A failure that may pass; ``wait_s`` is how long the server asked to wait, if it did."""

    def __init__(self, reject: Reject, wait_s: float | None = None) -> None:
        self.reject = reject
        self.wait_s = wait_s
        super().__init__(reject, wait_s)


class _Budget:
    """The time one URL may take while it is asked, over all its attempts; waiting for one's turn is free."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left_s = seconds

    @asynccontextmanager
    async def spent(self) -> AsyncIterator[None]:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(max(0.0, self.left_s)) as limit:
                yield
        except TimeoutError:
            if not limit.expired():  # aiohttp's limit of one connection
                raise
            raise Reject("timeout", f"not done after {self.seconds:g} s") from None
        finally:
            self.left_s -= clock() - started


class Client:
    """Fetches URLs under one set of limits. Belongs to one event loop.

    Args:
        settings: the limits.
        cache: a folder of the run directory, for what hosts consent to.
        machines: how many machines share the per-host limits.
    """

    def __init__(self, settings: FetchSettings, cache: Storage, machines: int) -> None:
        self.settings = settings
        self.gate = Gate(settings.allow_hosts)
        self.hosts = Hosts(settings, machines)
        self.consent = Consent(settings, cache, self.hosts.machine, self._ask_small)
        self.in_flight = asyncio.Semaphore(settings.max_in_flight)
        self.session = aiohttp.ClientSession(
            # Semaphores are the only queues: a wait for aiohttp's pool would count against a URL's deadline.
            connector=aiohttp.TCPConnector(
                limit=0, resolver=PublicResolver(self.gate), keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout_s),
            headers={"User-Agent": settings.agent, "Accept-Encoding": "identity"},
            auto_decompress=False,
            read_bufsize=READ_BYTES,
            middlewares=(_not_repeated,),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.session.close()

    @asynccontextmanager
    async def fetched(self, text: str, max_bytes: int, trail: Trail) -> AsyncIterator[Fetched]:
        """Fetch a URL; while the block lasts, its body counts as one of ``max_in_flight``.

        Raises:
            Reject: why nothing came.
        """
        async with AsyncExitStack() as held:

            async def follow(budget: _Budget) -> Fetched:
                return await self._follow(text, max_bytes, trail, budget, held)

            yield await self._retried(follow, trail.counts)

    async def _retried(self, work: Callable[[_Budget], Awaitable[T]], counts: Counter[str]) -> T:
        """Try until it works, cannot work, or there is no time left."""
        budget = _Budget(self.settings.timeout_s)
        attempt = 0
        while True:
            try:
                return await work(budget)
            except _TransientError as error:
                asked_s = error.wait_s or 0.0
                backoff_s = BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5)
                budget.left_s -= max(0.0, backoff_s - asked_s)
                if attempt == self.settings.retries or asked_s > self.settings.retry_after_max_s or budget.left_s <= 0:
                    raise error.reject from error
            attempt += 1
            counts["retries"] += 1
            await asyncio.sleep(max(asked_s, backoff_s))

    async def _follow(self, text: str, max_bytes: int, trail: Trail, budget: _Budget, held: AsyncExitStack) -> Fetched:
        """Ask, and go wherever the answers point, asking each host on the way for its consent."""
        url = self.gate.check(text)
        for _ in range(self.settings.max_redirects + 1):
            trail.agree(await self.consent.of_url(url))
            answer = await self._hop(url, max_bytes, trail, budget, held)
            if isinstance(answer, Fetched):
                return answer
            url = answer
        raise Reject("redirects", f"more than {self.settings.max_redirects}, the last to {url}")

    async def _hop(
        self, url: URL, max_bytes: int, trail: Trail, budget: _Budget, held: AsyncExitStack
    ) -> Fetched | URL:
        """Ask one URL in one's turn; return the body, or where to go instead."""
        async with AsyncExitStack() as slot:
            async with self._asked(url, budget, slot, trail.counts) as response:
                trail.status = response.status
                _check_status(response)
                trail.agree(self.consent.of_response(response.headers))
                if 300 <= response.status < 400:
                    return self.gate.check(_location(response), response.url)
                data = await self._body(response, max_bytes, trail.counts)
            held.push_async_exit(slot.pop_all())
            return Fetched(data, response.status)

    async def _ask_small(self, url: URL, max_bytes: int) -> Answer:
        """Fetch the beginning of a small text, wherever redirects lead; raises Reject."""

        counts: Counter[str] = Counter()

        async def ask(budget: _Budget) -> Answer:
            here = url
            for hops_left in range(self.settings.max_redirects, -1, -1):
                async with AsyncExitStack() as slot, self._asked(here, budget, slot, counts) as response:
                    if not (300 <= response.status < 400 and "Location" in response.headers and hops_left):
                        data = await self._beginning(response, max_bytes)
                        return Answer(response.status, data.decode(errors="replace"))
                    here = self.gate.check(_location(response), response.url)
            raise AssertionError("the last hop returns")

        self.gate.check(str(url))
        return await self._retried(ask, counts)

    @asynccontextmanager
    async def _asked(
        self, url: URL, budget: _Budget, slot: AsyncExitStack, counts: Counter[str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask once in one's turn, keep account of the host's health, and put aiohttp's errors into our words.

        Args:
            slot: closed by the caller when the body is needed no longer.
            counts: ``requests`` is added to it.
        """
        most = self.settings.host_failures
        named = self.gate.is_named(url.host or "")
        delay_s = self.consent.crawl_delay_s(url)
        async with self.hosts.turn(f"{url.host}:{url.port}", named=named, crawl_delay_s=delay_s) as host:
            await slot.enter_async_context(self.in_flight)
            answered = False
            counts["requests"] += 1
            try:
                async with budget.spent(), self.session.get(url, allow_redirects=False) as response:
                    answered = True
                    if response.status not in BUSY:
                        host.answered()
                    yield response
            except (aiohttp.ClientError, Reject, _TransientError) as error:
                ours = _in_our_words(error)
                if not answered:
                    host.failed(ours.reject if isinstance(ours, _TransientError) else ours, most)
                elif isinstance(ours, _TransientError):
                    wait_s = min(ours.wait_s or 0.0, self.settings.retry_after_max_s)
                    if wait_s:
                        self.hosts.pause(host, wait_s)
                    if response.status in BUSY:
                        host.refused(ours.reject, wait_s, most)
                raise ours from error

    async def _body(self, response: aiohttp.ClientResponse, max_bytes: int, counts: Counter[str]) -> bytes:
        """Read a whole body, but no more than ``max_bytes``, before and after decompression."""
        if (response.content_length or 0) > max_bytes:
            raise Reject("too_large", f"{response.content_length} bytes announced, {max_bytes} allowed")
        data = bytearray()
        async for chunk in self._chunks(response):
            counts["bytes_fetched"] += len(chunk)
            data += chunk
            if len(data) > max_bytes:
                raise Reject("too_large", f"more than the {max_bytes} bytes allowed")
        if not data:
            raise Reject("empty", f"HTTP {response.status} without a body")
        return _decompressed(bytes(data), response.headers.get("Content-Encoding", "identity"), max_bytes)

    async def _beginning(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
        data = bytearray()
        async for chunk in self._chunks(response):
            data += chunk
            if len(data) >= max_bytes:
                break
        encoding = response.headers.get("Content-Encoding", "identity")
        return bytes(data[:max_bytes]) if encoding == "identity" else _decompressed(bytes(data), encoding, max_bytes)

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """Yield what arrives; raises Reject once it arrives too slowly."""
        clock, window_s = asyncio.get_running_loop().time, self.settings.slow_after_s
        fewest = self.settings.min_bytes_per_s * window_s
        content = response.content
        window_ends, before = clock() + window_s, 0
        while True:
            try:
                async with asyncio.timeout_at(window_ends if fewest else None):
                    chunk = await content.readany()
            except TimeoutError:
                arrived = content.total_bytes - before  # and not what was read: the loop may have been busy
                if arrived < fewest and not content.is_eof():
                    raise Reject("timeout", f"{arrived} bytes in {window_s:g} s, {fewest:g} wanted") from None
                window_ends, before = clock() + window_s, content.total_bytes
                continue
            if not chunk:
                return
            yield chunk


async def _not_repeated(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Ask once: by itself aiohttp asks again where the connection breaks off, uncounted and at once."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _TransientError(Reject("connection", str(error))) from error


def _location(response: aiohttp.ClientResponse) -> str:
    if "Location" not in response.headers:
        raise Reject("redirects", f"HTTP {response.status} without a location")
    return response.headers["Location"]


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status < 400:
        return
    name = str(status) if status in OWN_REASON else f"{min(status // 100, 5)}xx"
    reject = Reject(f"http_{name}", f"HTTP {status} {response.reason or ''}".strip())
    if status == 429 or status >= 500:
        raise _TransientError(reject, _retry_after_s(response.headers.get("Retry-After")))
    raise reject


def _retry_after_s(value: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None


def _in_our_words(error: aiohttp.ClientError | Reject | _TransientError) -> Reject | _TransientError:
    match error:
        case Reject() | _TransientError():
            return error
        case aiohttp.ClientConnectorDNSError():
            return Reject("dns", str(error))
        case aiohttp.ClientSSLError():
            return Reject("tls", str(error))
        case aiohttp.ServerTimeoutError():
            return _TransientError(Reject("timeout", str(error)))
        case aiohttp.ClientConnectorError():
            return Reject("connection", str(error))
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return _TransientError(Reject("connection", str(error)))
        case aiohttp.InvalidURL():
            return Reject("bad_url", str(error))
    return Reject("connection", f"{type(error).__name__}: {error}")


def _decompressed(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding that nobody asked for, up to ``max_bytes``."""
    if encoding.strip().lower() in ("identity", ""):
        return data
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise Reject("bad_encoding", f"Content-Encoding: {encoding}, though identity was asked for")
    reader = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        plain = reader.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise Reject("bad_encoding", f"Content-Encoding: {encoding}: {error}") from error
    if len(plain) > max_bytes:
        raise Reject("too_large", f"more than the {max_bytes} bytes allowed, decompressed")
    return plain
