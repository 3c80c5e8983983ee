"""The client against a real server: patience, politeness, dead hosts, bodies in memory."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients import NO_CONSENT, fetch, outcomes, reasons, with_client
from servers import Answer, Site, serve

from schemas.errors import Reject
from stages.fetching.client import Client, Trail

BODY = bytes(range(256)) * 8


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on this machine."""
    with serve() as running:
        yield running


def test_slow_body_is_given_up_long_before_the_deadline(site: Site, tmp_path: Path) -> None:
    """A body that drips is a timeout after the time in which its speed is measured, and is not asked again."""
    url = site.add("/drip", Answer(BODY, drip_s=0.3))
    started = time.monotonic()
    [found] = outcomes(tmp_path, [url], slow_after_s=0.5, timeout_s=60)
    assert isinstance(found, Reject)
    assert (found.reason, site.requests["/drip"]) == ("timeout", 1)
    assert "512" not in found.detail
    assert "256 wanted" in found.detail
    assert time.monotonic() - started < 10


def test_body_that_waits_to_be_read_is_not_slow(site: Site, tmp_path: Path) -> None:
    """What arrived while the process was too busy to look counts."""
    url = site.add("/a", Answer(b"ab", drip_s=0.3))

    async def work(client: Client) -> bytes | Reject:
        found = asyncio.create_task(fetch(client, url))
        while not site.requests["/a"]:
            await asyncio.sleep(0.01)
        while not site.answered["/a"]:
            time.sleep(0.01)  # and nothing else runs meanwhile
        return await found

    assert with_client(tmp_path, work, slow_after_s=0.2) == b"ab"


def test_drips_hold_up_nobody(site: Site, tmp_path: Path) -> None:
    """Of 200 URLs 10 drip: all others come, and every drip ends as a timeout."""
    urls = [site.add(f"/{n}", Answer(BODY, drip_s=1.0 if n % 20 == 0 else 0.0)) for n in range(200)]
    found = outcomes(tmp_path, urls, slow_after_s=0.5, max_in_flight=16)
    assert [isinstance(one, Reject) and one.reason == "timeout" for one in found] == [n % 20 == 0 for n in range(200)]


def test_slow_host_does_not_use_up_the_bodies_in_flight(site: Site, tmp_path: Path) -> None:
    """URLs that wait for their turn at a slow host leave the room to others."""
    with serve() as slow:
        waiting = [slow.add(f"/{n}", Answer(BODY, wait_s=0.5)) for n in range(20)]
        quick = [site.add(f"/{n}", Answer(BODY)) for n in range(20)]

        async def work(client: Client) -> float:
            behind = [asyncio.create_task(fetch(client, url)) for url in waiting]
            await asyncio.sleep(0.2)
            started = time.monotonic()
            assert reasons(list(await asyncio.gather(*(fetch(client, url) for url in quick)))) == {""}
            took = time.monotonic() - started
            assert sum(task.done() for task in behind) < 20
            for task in behind:
                task.cancel()
            return took

        with_client(tmp_path, work, host_connections=2, max_in_flight=4)


def test_connections_to_a_host_are_capped(site: Site, tmp_path: Path) -> None:
    """No more requests than host_connections are under way at once."""
    urls = [site.add(f"/{n}", Answer(BODY, wait_s=0.05)) for n in range(12)]
    assert reasons(outcomes(tmp_path, urls, host_connections=3)) == {""}
    assert site.most_at_once == 3


def test_requests_to_a_host_keep_to_the_rate(site: Site, tmp_path: Path) -> None:
    """A burst of a second's worth, then the rate; robots.txt and tdmrep.json count too."""
    urls = [site.add(f"/{n}", Answer(BODY)) for n in range(28)]
    started = time.monotonic()
    assert reasons(outcomes(tmp_path, urls, host_requests_per_s=20)) == {""}
    assert time.monotonic() - started >= (28 + 2 - 20) / 20 - 0.05


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(site: Site, tmp_path: Path, status: int) -> None:
    """The server's wish is honoured, and then the body comes."""
    url = site.add("/a", Answer(status=status, headers={"Retry-After": "1"}), Answer(BODY))
    started = time.monotonic()
    assert outcomes(tmp_path, [url]) == [BODY]
    assert time.monotonic() - started >= 1


def test_retry_after_holds_the_whole_host(site: Site, tmp_path: Path) -> None:
    """Another URL of the host waits as well."""
    busy = site.add("/busy", Answer(status=429, headers={"Retry-After": "1"}), Answer(BODY))
    other = site.add("/other", Answer(BODY))

    async def work(client: Client) -> float:
        first = asyncio.create_task(fetch(client, busy))
        while not site.requests["/busy"]:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        started = time.monotonic()
        assert await fetch(client, other) == BODY
        assert await first == BODY
        return time.monotonic() - started

    assert with_client(tmp_path, work) > 0.7


def test_retry_after_beyond_the_bound_is_not_waited_for(site: Site, tmp_path: Path) -> None:
    """A server that asks for an hour costs its row at once."""
    url = site.add("/a", Answer(status=429, headers={"Retry-After": "3600"}))
    started = time.monotonic()
    [found] = outcomes(tmp_path, [url], retry_after_max_s=1)
    assert isinstance(found, Reject)
    assert (found.reason, site.requests["/a"]) == ("http_429", 1)
    assert time.monotonic() - started < 5


def test_dead_host_is_given_up_quickly_and_says_so(site: Site, tmp_path: Path) -> None:
    """After so many failures in a row the rest of its URLs are not tried; they keep the host's reason."""
    urls = [site.add(f"/{n}", Answer(reset=True)) for n in range(60)]
    found = outcomes(tmp_path, urls, host_failures=5, host_connections=2, retries=0, **NO_CONSENT)
    assert reasons(found) == {"connection"}
    assert len(site.requests) <= 5 + 2
    last = found[-1]
    assert isinstance(last, Reject)
    assert "given up after" in last.detail


def test_host_that_answers_anything_is_not_dead(site: Site, tmp_path: Path) -> None:
    """Errors that a server sends are its answers."""
    urls = [site.add(f"/{n}", Answer(status=500)) for n in range(20)]
    found = outcomes(tmp_path, urls, host_failures=3, host_connections=1, retries=0)
    assert reasons(found) == {"http_5xx"}
    assert all(site.requests[f"/{n}"] == 1 for n in range(20))


def test_no_more_bodies_than_allowed_are_in_memory(site: Site, tmp_path: Path) -> None:
    """A body counts until its block ends, not until it has arrived."""
    urls = [site.add(f"/{n}", Answer(BODY)) for n in range(12)]

    async def work(client: Client) -> int:
        held = most = 0

        async def one(url: str) -> None:
            nonlocal held, most
            async with client.fetched(url, 1 << 20, Trail()):
                held += 1
                most = max(most, held)
                await asyncio.sleep(0.02)
                held -= 1

        await asyncio.gather(*map(one, urls))
        return most

    assert with_client(tmp_path, work, max_in_flight=3) == 3


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_unpacked_within_the_limit(
    site: Site, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """What was compressed though nobody asked comes out plain; a compression bomb is too large."""
    headers = {"Content-Encoding": encoding}
    fine = site.add("/fine", Answer(pack(BODY), headers=headers))
    bomb = site.add("/bomb", Answer(pack(bytes(1 << 22)), headers=headers))
    broken = site.add("/broken", Answer(b"not compressed", headers=headers))
    brotli = site.add("/br", Answer(b"anything", headers={"Content-Encoding": "br"}))
    found = outcomes(tmp_path, [fine, bomb, broken, brotli])
    assert found[0] == BODY
    assert [one.reason for one in found[1:] if isinstance(one, Reject)] == ["too_large", "bad_encoding", "bad_encoding"]


def test_redirect_asks_the_other_host_for_its_consent(site: Site, tmp_path: Path) -> None:
    """robots.txt of the host a redirect leads to is obeyed too, and the trail names both."""
    with serve() as other:
        other.add("/robots.txt", Answer(b"User-agent: *\nDisallow: /secret"))
        other.add("/secret/a", Answer(BODY))
        url = site.add("/a", Answer(status=302, headers={"Location": f"{other.url}/secret/a"}))
        trail = Trail()

        async def work(client: Client) -> Reject | None:
            try:
                async with client.fetched(url, 1 << 20, trail):
                    return None
            except Reject as reject:
                return reject

        reject = with_client(tmp_path, work)
        assert reject is not None
        assert reject.reason == "robots"
        assert not other.requests["/secret/a"]
        told = [(verdict.rule, verdict.allowed) for verdict in trail.verdicts]
        assert told[0] == ("robots_txt", True)
        assert told[-1] == ("robots_txt", False)
