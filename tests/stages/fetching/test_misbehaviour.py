"""Servers that hang, babble, break off, refuse or lie: each URL ends, with a reason, and nobody is asked too often."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from clients import NO_CONSENT, fetch, outcomes, reasons, with_client
from servers import Answer, Site, serve

from schemas.errors import Reject
from stages.fetching import client as fetching_client
from stages.fetching import hosts
from stages.fetching.addresses import Gate, PublicResolver
from stages.fetching.client import Client, Trail

BODY = bytes(range(256)) * 8
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on this machine."""
    with serve() as running:
        yield running


@contextmanager
def unanswering(*, accepts: bool) -> Iterator[str]:
    """Give the address of a port where connections are made and nothing follows, or where none is ever made."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(100 if accepts else 0)
        waiting = [socket.socket() for _ in range(0 if accepts else 4)]
        for one in waiting:  # so many that the queue is full: further ones get no answer to their SYN
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


def only(found: Sequence[bytes | Reject]) -> Reject:
    """Return the reject that is the only outcome."""
    [reject] = found
    assert isinstance(reject, Reject)
    return reject


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "accepts"), [("http", False), ("https", True)], ids=["no connection", "no handshake"]
)
def test_connection_that_is_never_made(tmp_path: Path, scheme: str, accepts: bool) -> None:
    """A host that does not take the connection, or takes it and never speaks TLS, costs connect_timeout_s."""
    with unanswering(accepts=accepts) as address:
        settings = {"connect_timeout_s": 0.3, "timeout_s": 60, "retries": 0}
        found = only(outcomes(tmp_path, [f"{scheme}://{address}/a"], **settings, **NO_CONSENT))
    assert found.reason == "timeout"
    assert "connection" in found.detail.lower()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(BODY, wait_s=60),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n", drip_s=0.2),
        Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n", drip_s=0.001, endless=True),
        Answer(bytes(100), lies=0, endless=True, drip_s=0.01),
    ],
    ids=["silence", "dripping headers", "interim answers for ever", "endless body of sufficient speed"],
)
def test_whatever_a_server_does_the_deadline_ends_it(site: Site, tmp_path: Path, answer: Answer) -> None:
    """Silence, slow headers and slow, endless answers all end after timeout_s, after one request."""
    url = site.add("/a", answer)
    found = only(outcomes(tmp_path, [url], timeout_s=0.5, min_bytes_per_s=20, **NO_CONSENT))
    assert (found.reason, site.requests["/a"]) == ("timeout", 1)


def test_connection_that_is_never_made_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection attempt may have been the network's fault, so it is repeated and counted."""
    monkeypatch.setattr(fetching_client, "BACKOFF_S", 0.01)
    with unanswering(accepts=True) as address:
        trail = Trail()

        async def work(client: Client) -> bytes | Reject:
            return await fetch(client, f"https://{address}/a", trail=trail)

        found = with_client(tmp_path, work, connect_timeout_s=0.1, timeout_s=300, retries=2, **NO_CONSENT)
    assert isinstance(found, Reject)
    assert found.reason == "timeout"
    assert trail.counts == {"requests": 3, "retries": 2}


def test_redirects_and_retries_share_one_deadline(site: Site, tmp_path: Path) -> None:
    """A chain of quick enough redirects, begun again after a reset, gets no new timeout_s each time."""
    to = [Answer(wait_s=0.2, status=302, headers={"Location": f"/{n + 1}"}) for n in range(20)]
    urls = [site.add(f"/{n}", answer) for n, answer in enumerate(to)]
    found = only(outcomes(tmp_path, urls[:1], timeout_s=0.6, max_redirects=20, **NO_CONSENT))
    assert found.reason == "timeout"
    assert len(site.requests) <= 4
    broken = site.add("/broken", Answer(wait_s=0.4, reset=True))
    found = only(outcomes(tmp_path, [broken], timeout_s=1, retries=20, **NO_CONSENT))
    assert found.reason in {"timeout", "connection"}
    assert site.requests["/broken"] <= 3


def test_robots_txt_that_drips_costs_its_host_only(site: Site, tmp_path: Path) -> None:
    """Who cannot be asked for consent is not asked for anything else; the URLs beside it come."""
    with serve() as slow:
        slow.add("/robots.txt", Answer(b"User-agent: *" * 100, drip_s=0.5))
        urls = [one.add(f"/{n}", Answer(BODY)) for one in (slow, site) for n in range(5)]
        found = outcomes(tmp_path, urls, slow_after_s=0.3)
        assert reasons(found[:5]) == {"timeout"}
        assert reasons(found[5:]) == {""}
        assert slow.requests == {"/robots.txt": 1}


# --- size and form ---------------------------------------------------------------------------------------------------


def test_endless_body_is_left_at_the_limit(site: Site, tmp_path: Path) -> None:
    """A body without an end and without an announced length is read up to max_bytes and a little."""
    trail = Trail()
    url = site.add("/a", Answer(bytes(1 << 16), lies=0, endless=True))

    async def work(client: Client) -> bytes | Reject:
        return await fetch(client, url, max_bytes=1 << 20, trail=trail)

    found = with_client(tmp_path, work, **NO_CONSENT)
    assert isinstance(found, Reject)
    assert found.reason == "too_large"
    assert trail.counts["bytes_fetched"] < (1 << 20) + (1 << 19)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02 this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntoo little",
        b"HTTP/1.1 200 O",
        b"",
    ],
    ids=["no HTTP", "a long header", "many headers", "bad chunk", "bad length", "short body", "half a line", "nothing"],
)
def test_broken_http_is_a_connection_error(site: Site, tmp_path: Path, raw: bytes) -> None:
    """Whatever comes in place of an answer costs its URL and no other."""
    bad = site.add("/bad", Answer(raw=raw) if raw else Answer(reset=True))
    good = site.add("/good", Answer(BODY))
    broken, fine = outcomes(tmp_path, [bad, good], retries=0, timeout_s=5)
    assert fine == BODY
    assert only([broken]).reason == "connection"


def test_nested_compression_is_refused(site: Site, tmp_path: Path) -> None:
    """Nobody asked for it, and only a bomb needs it."""
    url = site.add("/a", Answer(BODY, headers={"Content-Encoding": "gzip, gzip"}))
    assert only(outcomes(tmp_path, [url])).reason == "bad_encoding"


# --- TLS -------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, file: str, name: str) -> ssl.SSLContext:
    """Make a certificate that nobody has signed, ``file``.pem, for a name or an address."""
    kind = "IP" if name[0].isdigit() else "DNS"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}",
         "-keyout", str(folder / f"{file}.key"), "-out", str(folder / f"{file}.pem")],
        check=True, capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{file}.pem", folder / f"{file}.key")
    return context


CLIENT = """
import sys
from pathlib import Path
from clients import NO_CONSENT, outcomes

settings = dict(NO_CONSENT, host_connections=int(sys.argv[2]))
for one in outcomes(Path(sys.argv[1]), sys.argv[3:], **settings):
    print(one.reason if isinstance(one, Exception) else "fetched", flush=True)
"""
"""A process that fetches URLs: folder, host_connections, URLs."""


def client_process(
    folder: Path, host_connections: int, urls: Sequence[str], **environment: str
) -> subprocess.Popen[str]:
    """Fetch URLs in a process of its own."""
    path = os.pathsep.join([str(PROJECT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(folder), str(host_connections), *urls], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make certificates with")
def test_certificates_are_verified(tmp_path: Path) -> None:
    """A certificate must be trusted and the host's own: nobody's is refused, and so is another host's."""
    names = {"own": "127.0.0.1", "other": "other.example"}
    contexts = [certificate(tmp_path, *one) for one in names.items()]
    (tmp_path / "trusted").write_text("".join((tmp_path / f"{name}.pem").read_text() for name in names))
    with serve(tls=contexts[0]) as own, serve(tls=contexts[1]) as other:
        urls = [own.add("/a", Answer(BODY)), other.add("/a", Answer(BODY))]
        found = outcomes(tmp_path, urls, **NO_CONSENT)
        assert reasons(found) == {"tls"}
        assert not own.requests
        done = client_process(tmp_path, 0, urls, SSL_CERT_FILE=str(tmp_path / "trusted"))
        assert done.communicate()[0].split() == ["fetched", "tls"]
        assert (own.requests, other.requests) == ({"/a": 1}, {})


# --- politeness ------------------------------------------------------------------------------------------------------


def test_processes_share_the_connections_of_a_host(site: Site, tmp_path: Path) -> None:
    """Two actors together hold no more connections to a host than host_connections."""
    urls = [site.add(f"/{n}", Answer(BODY, wait_s=0.05)) for n in range(16)]
    both = [client_process(tmp_path, 3, urls[n::2]) for n in range(2)]
    for one in both:
        assert one.communicate()[0].split() == ["fetched"] * 8
    assert site.most_at_once <= 3


def test_machines_divide_the_limits_of_a_host(site: Site, tmp_path: Path) -> None:
    """Of four connections and 40 requests a second one of four machines has one and ten."""
    urls = [site.add(f"/{n}", Answer(BODY)) for n in range(14)]

    async def work(client: Client) -> list[bytes | Reject]:
        return list(await asyncio.gather(*(fetch(client, url) for url in urls)))

    limits = {"host_connections": 4, "host_requests_per_s": 40, **NO_CONSENT}
    started = time.monotonic()
    assert reasons(with_client(tmp_path, work, machines=4, **limits)) == {""}
    assert time.monotonic() - started >= (14 - 10) / 10 - 0.05
    assert site.most_at_once == 1


def test_retry_after_may_be_a_date(site: Site, tmp_path: Path) -> None:
    """A date in the near future is waited for, one far away or long past is not."""

    def date(seconds: int) -> str:
        return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)

    past = Answer(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    urls = [
        site.add("/far", Answer(status=503, headers={"Retry-After": date(3600)}), Answer(BODY)),
        site.add("/past", past, Answer(BODY)),
    ]
    found = outcomes(tmp_path, urls, retry_after_max_s=0.1, **NO_CONSENT)
    assert only(found[:1]).reason == "http_5xx"
    assert found[1] == BODY
    url = site.add("/soon", Answer(status=429, headers={"Retry-After": date(2)}), Answer(BODY))
    assert outcomes(tmp_path, [url], **NO_CONSENT) == [BODY]
    first, second = site.times["/soon"]
    assert second - first >= 0.9


def test_retries_wait_longer_each_time(site: Site, tmp_path: Path) -> None:
    """After resets half a second, then a second, give or take half; and not one request more than counted."""
    url = site.add("/a", Answer(reset=True))
    trail = Trail()

    async def work(client: Client) -> bytes | Reject:
        return await fetch(client, url, trail=trail)

    assert only([with_client(tmp_path, work, **NO_CONSENT)]).reason == "connection"
    first, second, third = site.times["/a"]
    assert second - first >= 0.25
    assert third - second >= 0.5
    assert trail.counts == {"requests": 3, "retries": 2}


def test_reset_is_not_repeated_behind_our_back(site: Site, tmp_path: Path) -> None:
    """Without retries a connection that breaks off costs one request, not two."""
    url = site.add("/a", Answer(reset=True))
    assert only(outcomes(tmp_path, [url], retries=0, **NO_CONSENT)).reason == "connection"
    assert site.requests["/a"] == 1


def test_host_that_only_refuses_is_given_up(site: Site, tmp_path: Path) -> None:
    """A host that says 429 after each wait is left alone, instead of once a wait for ever, and each row says so."""
    urls = [site.add(f"/{n}", Answer(status=429, headers={"Retry-After": "5"})) for n in range(200)]
    settings = {"retry_after_max_s": 1, "host_failures": 3, "host_connections": 2, "host_requests_per_s": 20}
    found = outcomes(tmp_path, urls, **settings, **NO_CONSENT)
    assert reasons(found) == {"http_429"}
    assert len(site.requests) <= 3 * 2 + 2
    assert "given up after 3 failures" in only(found[-1:]).detail


def test_refusals_at_once_are_one(site: Site, tmp_path: Path) -> None:
    """A burst of refused requests is no dead host: after the wait all of them come."""
    refused = Answer(status=429, headers={"Retry-After": "1"})
    urls = [site.add(f"/{n}", refused, Answer(BODY)) for n in range(12)]
    assert reasons(outcomes(tmp_path, urls, host_failures=8, **NO_CONSENT)) == {""}


def test_host_has_its_chance_again(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was given up is asked again after a while, and is no longer given up once it answers."""
    monkeypatch.setattr(hosts, "DOWN_S", 0.3)
    bad = [site.add(f"/bad/{n}", Answer(reset=True)) for n in range(3)]
    good = site.add("/good", Answer(BODY))

    async def work(client: Client) -> list[bytes | Reject]:
        for url in bad:
            await fetch(client, url)
        down = await fetch(client, good)
        await asyncio.sleep(0.4)
        return [down, await fetch(client, good), await fetch(client, good)]

    down, *later = with_client(tmp_path, work, host_failures=3, retries=0, **NO_CONSENT)
    assert "given up" in only([down]).detail
    assert later == [BODY, BODY]


def test_slow_host_without_limits_leaves_room(site: Site, tmp_path: Path) -> None:
    """Also a host whose connections are not limited cannot take every place."""
    with serve() as slow:
        waiting = [slow.add(f"/{n}", Answer(BODY, wait_s=60)) for n in range(40)]
        quick = [site.add(f"/{n}", Answer(BODY)) for n in range(40)]

        async def work(client: Client) -> list[bytes | Reject]:
            behind = [asyncio.create_task(fetch(client, url)) for url in waiting]
            while slow.at_once < 6:
                await asyncio.sleep(0.01)
            found = list(await asyncio.gather(*(fetch(client, url) for url in quick)))
            assert not any(task.done() for task in behind)
            for task in behind:
                task.cancel()
            return found

        assert reasons(with_client(tmp_path, work, max_in_flight=8, **NO_CONSENT)) == {""}
        assert slow.most_at_once == 6


# --- addresses -------------------------------------------------------------------------------------------------------


class Names(AbstractResolver):
    """A resolver that gives each name the next of its answers."""

    def __init__(self, answers: list[list[str]]) -> None:
        self.answers = answers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the next answer."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        """Nothing to close."""


def test_name_with_a_private_address_too_gets_its_public_ones() -> None:
    """Only checked addresses are handed to the connection, each time a name is resolved."""

    async def ask() -> None:
        resolver = PublicResolver(Gate(["known.example"]))
        resolver.inner = Names([["10.0.0.1", "8.8.8.8"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8"], ["127.0.0.1"]])
        assert [one["host"] for one in await resolver.resolve("known.example")] == ["10.0.0.1", "8.8.8.8"]
        for _ in range(2):
            assert [one["host"] for one in await resolver.resolve("a.example")] == ["8.8.8.8"]
        with pytest.raises(Reject, match="private_address"):
            await resolver.resolve("a.example")

    asyncio.run(ask())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_is_checked(site: Site, tmp_path: Path, status: int) -> None:
    """A redirect to another spelling of this machine is refused at the second hop as at the first."""
    port = site.url.rpartition(":")[2]
    second = site.add("/b", Answer(status=status, headers={"Location": f"http://0x7f000001:{port}/c"}))
    url = site.add("/a", Answer(status=status, headers={"Location": second}))
    site.add("/c", Answer(BODY))
    assert only(outcomes(tmp_path, [url], **NO_CONSENT)).reason in {"private_address", "bad_url"}
    assert site.requests == {"/a": 1, "/b": 1}
