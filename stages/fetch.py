"""The HTTP client of ``download``: bounded in time and bytes, closed to private addresses.

aiohttp checks no address that a name resolves to, follows redirects on its own and asks no resolver about
literal addresses; so redirects are followed here, one by one, and every hop is checked before it is asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from schemas.errors import Reject

if TYPE_CHECKING:
    from stages.download import DownloadConfig

__all__ = ["Fetched", "PublicResolver", "Wanted", "fetch_all", "is_opted_out", "is_public"]

AGENT: Final = "showtell"
OPT_OUT: Final = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
"""``none`` is short for ``noindex, nofollow`` (Google's robots meta tag specification)."""
VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives that a colon and a value follow, where else a colon follows a crawler's name."""
OWN_REASON: Final = frozenset({403, 404, 410, 429})
BACKOFF_S: Final = 0.5
CHUNK_BYTES: Final = 64 * 1024
NOT_PUBLIC: Final = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "fec0::/10", "64:ff9b:1::/48")]
"""Special-purpose networks (IANA registries, RFC 6890) that Python 3.11 still calls global."""
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Wanted:
    """A URL and the most bytes it may have."""

    url: str
    max_bytes: int


@dataclass(frozen=True)
class Fetched:
    """What a URL gave."""

    data: bytes
    status: int


class _TransientError(Exception):
    """A failure that may pass; ``wait_s`` is how long the server asked to wait, if it did."""

    def __init__(self, reject: Reject, wait_s: float | None = None) -> None:
        self.reject = reject
        self.wait_s = wait_s
        super().__init__(reject, wait_s)


def fetch_all(
    wanted: Collection[Wanted], config: DownloadConfig, counts: Counter[str]
) -> dict[Wanted, Fetched | Reject]:
    """Fetch every URL, ``config.concurrency`` at a time, and tell how each ended."""
    return asyncio.run(_Client(config, counts).fetch_all(wanted))


class _Client:
    """Fetches URLs under one set of limits."""

    def __init__(self, config: DownloadConfig, counts: Counter[str]) -> None:
        self.config = config
        self.counts = counts
        self.allowed = frozenset(_plain(host) for host in config.allow_hosts)

    async def fetch_all(self, wanted: Collection[Wanted]) -> dict[Wanted, Fetched | Reject]:
        slots = asyncio.Semaphore(self.config.concurrency)
        # The semaphore is the only queue: a wait for the pool would count against a URL's deadline.
        connector = aiohttp.TCPConnector(limit=0, resolver=PublicResolver(self.allowed))
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self.config.connect_timeout_s),
            headers={"User-Agent": self.config.agent(), "Accept-Encoding": "identity"},
        ) as session:
            outcomes = await asyncio.gather(*(self._outcome(session, slots, one) for one in wanted))
        return dict(zip(wanted, outcomes, strict=True))

    async def _outcome(
        self, session: aiohttp.ClientSession, slots: asyncio.Semaphore, wanted: Wanted
    ) -> Fetched | Reject:
        async with slots:
            try:
                async with asyncio.timeout(self.config.timeout_s) as deadline:
                    return await self._retried(session, wanted, deadline.when() or 0.0)
            except TimeoutError:
                return Reject("timeout", f"not done after {self.config.timeout_s:g} s")
            except Reject as reject:  # its detail may quote headers, which may hold any bytes
                return Reject(reject.reason, reject.detail.encode(errors="replace").decode())

    async def _retried(self, session: aiohttp.ClientSession, wanted: Wanted, deadline: float) -> Fetched:
        """Try until it works, cannot work, or could no longer end before the deadline."""
        attempt = 0
        while True:
            try:
                return await self._attempt(session, wanted)
            except _TransientError as error:
                wait_s = BACKOFF_S * 2**attempt if error.wait_s is None else error.wait_s
                too_late = asyncio.get_running_loop().time() + wait_s >= deadline
                if attempt == self.config.retries or too_late:
                    raise error.reject from error
            attempt += 1
            self.counts["retries"] += 1
            await asyncio.sleep(wait_s)

    async def _attempt(self, session: aiohttp.ClientSession, wanted: Wanted) -> Fetched:
        """Ask once, and put aiohttp's errors into our words."""
        try:
            return await self._follow(session, wanted)
        except aiohttp.ClientConnectorDNSError as error:
            raise Reject("dns", str(error)) from error
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError) as error:
            raise Reject("tls", str(error)) from error
        except aiohttp.ServerTimeoutError as error:
            raise _TransientError(Reject("timeout", str(error))) from error
        except aiohttp.ClientConnectorError as error:
            raise Reject("connection", str(error)) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise _TransientError(Reject("connection", str(error))) from error
        except aiohttp.InvalidURL as error:
            raise Reject("bad_url", str(error)) from error
        except aiohttp.ClientError as error:
            raise Reject("connection", f"{type(error).__name__}: {error}") from error

    async def _follow(self, session: aiohttp.ClientSession, wanted: Wanted) -> Fetched:
        url = self._checked(wanted.url)
        for _ in range(self.config.max_redirects + 1):
            self.counts["requests"] += 1
            async with session.get(url, allow_redirects=False) as response:
                if not 300 <= response.status < 400:
                    return await self._answer(response, wanted.max_bytes)
                self._check_consent(response)
                url = self._checked(_location(response), response.url)
        raise Reject("redirects", f"more than {self.config.max_redirects}, the last to {url}")

    def _checked(self, text: str, base: URL | None = None) -> URL:
        """Return the URL if it may be asked; names are checked once more, by address, by the resolver."""
        try:
            url = base.join(URL(text)) if base else URL(text.strip())
            host = url.host
        except ValueError as error:
            raise Reject("bad_url", f"{text}: {error}") from error
        if url.scheme not in ("http", "https") or not host:
            raise Reject("bad_url", text)
        if _looks_numeric(host) and _plain(host) not in self.allowed:
            try:
                public = is_public(host)
            except ValueError as error:
                raise Reject("bad_url", f"{text}: {error}") from error
            if not public:
                raise Reject("private_address", str(url))
        return url

    def _check_consent(self, response: aiohttp.ClientResponse) -> None:
        values = response.headers.getall("X-Robots-Tag", ())
        if self.config.respect_opt_out and is_opted_out(values):
            raise Reject("opted_out", "; ".join(values))

    async def _answer(self, response: aiohttp.ClientResponse, max_bytes: int) -> Fetched:
        _check_status(response)
        self._check_consent(response)
        if (response.content_length or 0) > max_bytes:
            raise Reject("too_large", f"{response.content_length} bytes announced, {max_bytes} allowed")
        data = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            self.counts["bytes_fetched"] += len(chunk)
            data += chunk
            if len(data) > max_bytes:
                raise Reject("too_large", f"more than the {max_bytes} bytes allowed")
        if not data:
            raise Reject("empty", f"HTTP {response.status} without a body")
        return Fetched(bytes(data), response.status)


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


def is_opted_out(values: Iterable[str]) -> bool:
    """Tell whether X-Robots-Tag headers forbid our use: a directive for everybody or for ``showtell``.

    Args:
        values: one string a header, such as ``noai, noimageai`` or ``googlebot: noindex, nofollow``; a
            crawler's name holds until the end of its header.
    """
    for value in values:
        crawler = AGENT
        for item in value.lower().split(","):
            name, colon, rest = (part.strip() for part in item.partition(":"))
            if colon and name not in VALUED:
                crawler, name = name, rest
            if crawler == AGENT and name in OPT_OUT:
                return True
    return False


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet, IPv4 inside IPv6 included; ValueError if none."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    special = ip.is_reserved or ip.is_multicast or any(ip in net for net in NOT_PUBLIC)
    return ip.is_global and not special


def _looks_numeric(host: str) -> bool:
    """Tell whether aiohttp takes the host for an address and asks no resolver about it."""
    return ":" in host or host.replace(".", "").isdigit()


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, except those of allowed hosts.

    aiohttp connects to the address given here, so a name cannot resolve differently after the check.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = allowed
        self.inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host`` that may be asked; raises Reject where there is none."""
        try:
            found = await self.inner.resolve(host, port, family)
        except UnicodeError as error:  # a label that is too long or empty
            raise Reject("bad_url", f"{host}: {error}") from error
        if _plain(host) in self.allowed:
            return found
        public = [address for address in found if is_public(address["host"])]
        if found and not public:
            raise Reject("private_address", f"{host} is {found[0]['host']}")
        return public

    async def close(self) -> None:
        """Close the resolver that does the work."""
        await self.inner.close()
