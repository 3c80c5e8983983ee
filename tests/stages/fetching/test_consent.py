"""How sites are asked for their consent: once each, before anything else of theirs, and for everybody who waits."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from servers import Answer as Page
from servers import Site, serve
from yarl import URL

from schemas.errors import Reject
from schemas.storage import Storage
from stages.fetching import site_files
from stages.fetching.consent import Answer, Consent, Verdict, refused
from stages.fetching.machine import MachineLimits
from stages.fetching.settings import FetchSettings
from stages.fetching.site_files import SiteFiles

MACHINE = MachineLimits(60)
ROBOTS, TDMREP = "/robots.txt", "/.well-known/tdmrep.json"
NO_CATS = Page(b"User-agent: *\nDisallow: /cats/\nCrawl-delay: 3\n")
RESERVED = Page(json.dumps([{"location": "/dogs/", "tdm-reservation": 1}]).encode())


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def other_site() -> Iterator[Site]:
    with serve() as running:
        yield running


class Web:
    """Asks the real server, and counts the attempts."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.attempts = 0

    async def ask(self, url: URL, max_bytes: int) -> Answer:
        """Fetch the first bytes of a text."""
        self.attempts += 1
        try:
            async with self.session.get(url) as response:
                data = b""
                while len(data) < max_bytes and (chunk := await response.content.read(max_bytes - len(data))):
                    data += chunk
                return Answer(response.status, data.decode(errors="replace"))
        except aiohttp.ClientError as error:
            raise Reject("connection", str(error)) from error


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    async with aiohttp.ClientSession() as session:
        yield Web(session)


def settings(**changed: Any) -> FetchSettings:
    return FetchSettings(use="download", **changed)


def verdicts(folder: Path, *urls: str, **changed: Any) -> list[list[Verdict]]:
    """Return what a new process, with the cache that is there, finds for all the URLs asked at once."""

    async def ask() -> list[list[Verdict]]:
        async with web() as asker:
            consent = Consent(settings(**changed), Storage(str(folder)), MACHINE, asker.ask)
            return await asyncio.gather(*(consent.of_url(URL(url)) for url in urls))

    return asyncio.run(ask())


def test_both_files_are_heard(site: Site, tmp_path: Path) -> None:
    """Each verdict names its file and its rule; a refusal by robots.txt ends the questions."""
    site.add(ROBOTS, NO_CATS)
    site.add(TDMREP, RESERVED)
    cat, dog, bird = verdicts(tmp_path, *(f"{site.url}/{name}/a.jpg" for name in ("cats", "dogs", "birds")))
    assert cat == [Verdict("robots_txt", False, f"{site.url}{ROBOTS}: Disallow: /cats/")]
    no_rule = Verdict("robots_txt", True, f"{site.url}{ROBOTS}: no rule")
    assert dog == [no_rule, Verdict("tdmrep", False, f"{site.url}{TDMREP}: tdm-reservation 1 for /dogs/")]
    assert bird == [no_rule, Verdict("tdmrep", True, f"{site.url}{TDMREP}: no rule")]


def test_site_without_rules_allows(site: Site, tmp_path: Path) -> None:
    """A 404 is a yes, and the ledger says where it comes from."""
    [found] = verdicts(tmp_path, f"{site.url}/a.jpg")
    assert [(one.allowed, one.source) for one in found] == [
        (True, f"{site.url}{ROBOTS}: HTTP 404"), (True, f"{site.url}{TDMREP}: HTTP 404"),
    ]
    assert refused(found) is None


def test_site_that_refuses_everything_gets_one_request(site: Site, tmp_path: Path) -> None:
    """Who wants no visit is not asked for its other file."""
    site.add(ROBOTS, Page(b"User-agent: *\nDisallow: /"))
    verdicts(tmp_path, f"{site.url}/a.jpg", f"{site.url}/b.jpg")
    assert site.requests == {ROBOTS: 1}


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({"respect_robots_txt": False}, {TDMREP: 1}),
        ({"respect_tdmrep": False}, {ROBOTS: 1}),
        ({"respect_robots_txt": False, "respect_tdmrep": False}, {}),
    ],
)
def test_rule_that_is_not_respected_is_not_asked_for(
    site: Site, tmp_path: Path, changed: dict[str, bool], asked: dict[str, int]
) -> None:
    """A setting per rule: without it there is no request and no verdict."""
    [found] = verdicts(tmp_path, f"{site.url}/a.jpg", **changed)
    assert site.requests == asked
    assert [one.rule for one in found] == [{ROBOTS: "robots_txt", TDMREP: "tdmrep"}[path] for path in asked]


def test_rules_are_those_for_our_agent(site: Site, tmp_path: Path) -> None:
    """Who sends another User-Agent obeys the rules for that one."""
    site.add(ROBOTS, Page(b"User-agent: catbot\nDisallow: /cats/\n\nUser-agent: showtell\nDisallow: /dogs/"))
    url = f"{site.url}/cats/a.jpg"
    assert refused(verdicts(tmp_path, url)[0]) is None
    assert refused(verdicts(tmp_path, url, user_agent="CatBot/2.0 (+https://a.example)")[0]) is not None


def test_many_askers_share_one_request(site: Site, tmp_path: Path) -> None:
    """A hundred URLs of a site that are asked at once cost it one request a file."""
    site.add(ROBOTS, Page(NO_CATS.body, drip_s=0.005))
    found = verdicts(tmp_path, *(f"{site.url}/{number}.jpg" for number in range(100)))
    assert len(found) == 100
    assert site.requests == {ROBOTS: 1, TDMREP: 1}


def test_actors_that_start_together_share_one_request(site: Site, tmp_path: Path) -> None:
    """Who has not asked yet waits for the actor that is asking, and reads what it was told."""
    site.add(ROBOTS, Page(NO_CATS.body, wait_s=0.2))
    url = URL(f"{site.url}/cats/a.jpg")

    async def ask() -> list[list[Verdict]]:
        async with web() as asker:
            actors = [Consent(settings(), Storage(str(tmp_path)), MachineLimits(60), asker.ask) for _ in range(3)]
            return await asyncio.gather(*(actor.of_url(url) for actor in actors))

    first, *others = asyncio.run(ask())
    assert refused(first) is not None
    assert others == [first, first]
    assert site.requests == {ROBOTS: 1}


def test_sites_are_told_apart_by_port(site: Site, other_site: Site, tmp_path: Path) -> None:
    """A site is scheme, host and port."""
    site.add(ROBOTS, NO_CATS)
    here, there = verdicts(tmp_path, f"{site.url}/cats/a.jpg", f"{other_site.url}/cats/a.jpg")
    assert refused(here) is not None
    assert refused(there) is None
    assert site.requests[ROBOTS] == other_site.requests[ROBOTS] == 1


def test_new_process_reads_the_cache(site: Site, tmp_path: Path) -> None:
    """Another actor and a continued run know what the site said, a missing file included."""
    site.add(ROBOTS, Page("\ufeffUser-agent: *\r\nDisallow: /été\r\nDisallow: /\udcff".encode(errors="surrogatepass")))
    url = f"{site.url}/%C3%A9t%C3%A9/a.jpg"
    first = verdicts(tmp_path, url)
    second = verdicts(tmp_path, url, f"{site.url}/b.jpg")
    assert first[0] == second[0]
    assert refused(first[0]) is not None
    assert site.requests == {ROBOTS: 1, TDMREP: 1}
    assert len(Storage(str(tmp_path)).names()) == 2


@pytest.mark.parametrize("spoilt", [b"", bytes(300), b"{", b"[1]", b'{"status": "200", "text": null}'])
def test_spoilt_cache_costs_a_request(site: Site, tmp_path: Path, spoilt: bytes) -> None:
    """What a power cut left is not taken for an answer."""
    url = f"{site.url}/a.jpg"
    first = verdicts(tmp_path, url)
    for file in tmp_path.iterdir():
        file.write_bytes(spoilt)
    assert verdicts(tmp_path, url) == first
    assert site.requests == {ROBOTS: 2, TDMREP: 2}


def test_answer_is_good_for_a_day(site: Site, tmp_path: Path) -> None:
    """A run continued much later asks again (RFC 9309, 2.4)."""
    url = f"{site.url}/cats/a.jpg"
    assert refused(verdicts(tmp_path, url)[0]) is None
    for file in tmp_path.iterdir():
        stored = json.loads(file.read_text())
        file.write_text(json.dumps({**stored, "until": stored["until"] - site_files.LASTS_S}))
    site.add(ROBOTS, NO_CATS)
    assert refused(verdicts(tmp_path, url)[0]) is not None


@pytest.mark.parametrize(("status", "allowed"), [(500, False), (503, False), (429, True)])
def test_passing_failure_is_not_kept(site: Site, tmp_path: Path, status: int, allowed: bool) -> None:
    """A site whose server fails is left alone for now, and the next process asks it again."""
    site.add(ROBOTS, Page(status=status), NO_CATS)
    urls = [f"{site.url}/{number}.jpg" for number in range(5)]
    for found in verdicts(tmp_path, *urls, respect_tdmrep=False):
        assert found == [Verdict("robots_txt", allowed, f"{site.url}{ROBOTS}: HTTP {status}")]
    assert site.requests[ROBOTS] == 1
    assert verdicts(tmp_path, urls[0], respect_tdmrep=False)[0][0].source.endswith("no rule")


def test_failure_to_give_a_reservation_is_none(site: Site, tmp_path: Path) -> None:
    """TDMRep reads a server's failure as no reservation; it is not kept either."""
    site.add(TDMREP, Page(status=503), RESERVED)
    url = f"{site.url}/dogs/a.jpg"
    assert refused(verdicts(tmp_path, url)[0]) is None
    assert refused(verdicts(tmp_path, url)[0]) is not None


def test_dead_host_costs_one_attempt(tmp_path: Path) -> None:
    """All the URLs of a host that cannot be reached end with the reason of the one attempt."""
    with socket.socket() as bound:  # bound and not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        url = URL(f"http://127.0.0.1:{bound.getsockname()[1]}/a.jpg")

        async def ask() -> tuple[list[Any], int]:
            async with web() as asker:
                consent = Consent(settings(), Storage(str(tmp_path)), MACHINE, asker.ask)
                found = await asyncio.gather(*(consent.of_url(url) for _ in range(20)), return_exceptions=True)
                for _ in range(20):
                    with pytest.raises(Reject, match="connection"):
                        await consent.of_url(url)
                return found, asker.attempts

        found, attempts = asyncio.run(ask())
    assert {error.reason for error in found} == {"connection"}
    assert len({id(error) for error in found}) == 20
    assert attempts == 1
    assert not list(tmp_path.iterdir())


def test_failure_is_forgotten_after_a_while(site: Site, tmp_path: Path) -> None:
    """A host that was down has its chance again in the same process."""
    site.add(ROBOTS, Page(b"ye", lies=3), Page(status=503), Page(b"yes"))
    url = URL(site.url)

    async def ask() -> list[str]:
        async with web() as asker:
            files = SiteFiles(
                ROBOTS, 100, lambda _, answer: f"{answer.status} {answer.text}", Storage(str(tmp_path)), MACHINE,
                asker.ask, passing_s=0.2,
            )
            found = []
            for _ in range(3):
                for _ in range(2):
                    try:
                        found.append(await files.rules(url))
                    except Reject as reject:
                        found.append(reject.reason)
                await asyncio.sleep(0.25)
            return found

    assert asyncio.run(ask()) == ["connection", "connection", "503 ", "503 ", "200 yes", "200 yes"]
    assert site.requests[ROBOTS] == 3


def test_cancelled_asker_does_not_cancel_the_others(site: Site, tmp_path: Path) -> None:
    """The first asker may run out of time; who waits with it still gets the answer, from the same request."""
    site.add(ROBOTS, Page(NO_CATS.body, drip_s=0.01))
    url = URL(f"{site.url}/cats/a.jpg")

    async def ask() -> list[Verdict]:
        async with web() as asker:
            consent = Consent(settings(), Storage(str(tmp_path)), MACHINE, asker.ask)
            first = asyncio.create_task(consent.of_url(url))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(consent.of_url(url))
            await asyncio.sleep(0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await second

    assert refused(asyncio.run(ask())) is not None
    assert site.requests == {ROBOTS: 1}


def test_unwritable_cache_is_no_silent_failure(site: Site, tmp_path: Path) -> None:
    """A disk that fails is an error of the run, for every asker, and not remembered as an answer."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        verdicts(tmp_path / "file", f"{site.url}/a.jpg")


def test_memory_holds_so_many_sites(site: Site, other_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                    ) -> None:
    """The rules of sites visited long ago leave memory and come back from the cache."""
    monkeypatch.setattr(site_files, "MOST_SITES", 1)
    site.add(ROBOTS, NO_CATS)

    async def ask() -> None:
        async with web() as asker:
            consent = Consent(settings(), Storage(str(tmp_path)), MACHINE, asker.ask)
            for _ in range(3):
                for one in (site, other_site):
                    await consent.of_url(URL(f"{one.url}/a.jpg"))
                    assert len(consent.robots.known) == 1

    asyncio.run(ask())
    assert site.requests == other_site.requests == {ROBOTS: 1, TDMREP: 1}


def test_long_file_is_read_up_to_its_limit(site: Site, tmp_path: Path) -> None:
    """Rules within the first 500 KiB count, those behind do not."""
    comment = b"#" * (500 * 1024) + b"\n"
    site.add(ROBOTS, Page(b"User-agent: *\nDisallow: /cats/\n" + comment + b"Disallow: /dogs/\n"))
    cat, dog = verdicts(tmp_path, f"{site.url}/cats/a.jpg", f"{site.url}/dogs/a.jpg")
    assert refused(cat) is not None
    assert refused(dog) is None


def test_crawl_delay_is_known_after_asking(site: Site, tmp_path: Path) -> None:
    """The delay is the site's, null before it is asked, and null where robots.txt is not respected."""
    site.add(ROBOTS, NO_CATS)
    url = URL(f"{site.url}/a.jpg")

    async def ask(**changed: bool) -> list[float | None]:
        async with web() as asker:
            consent = Consent(settings(**changed), Storage(str(tmp_path)), MACHINE, asker.ask)
            before = consent.crawl_delay_s(url)
            await consent.of_url(url)
            return [before, consent.crawl_delay_s(url), consent.crawl_delay_s(URL("http://b.example/"))]

    assert asyncio.run(ask()) == [None, 3.0, None]
    assert asyncio.run(ask(respect_robots_txt=False)) == [None, None, None]


@pytest.mark.parametrize(
    ("headers", "changed", "expected"),
    [
        ({}, {}, [Verdict("x_robots_tag", True, "X-Robots-Tag: no header")]),
        ({"X-ROBOTS-TAG": "noai"}, {}, [Verdict("x_robots_tag", False, "X-Robots-Tag: noai")]),
        ({"X-Robots-Tag": "noai"}, {"respect_x_robots_tag": False}, []),
        ({"X-Robots-Tag": "catbot: noai"}, {"user_agent": "CatBot/1"},
         [Verdict("x_robots_tag", False, "X-Robots-Tag: catbot: noai")]),
        ({"TDM-Reservation": "1"}, {},
         [Verdict("x_robots_tag", True, "X-Robots-Tag: no header"), Verdict("tdmrep", False, "tdm-reservation: 1")]),
        ({"TDM-Reservation": "1"}, {"respect_tdmrep": False, "respect_x_robots_tag": False}, []),
    ],
)
def test_headers_are_heard(
    tmp_path: Path, headers: dict[str, str], changed: dict[str, Any], expected: list[Verdict]
) -> None:
    """Headers of a response have their say, each by its setting."""

    async def never(url: URL, max_bytes: int) -> Answer:
        raise AssertionError(f"asked {url}")

    consent = Consent(settings(**changed), Storage(str(tmp_path)), MACHINE, never)
    assert consent.of_response(CIMultiDict(headers)) == expected


def test_refusal_has_its_reason() -> None:
    """robots.txt is told from the others, and the first no is the detail."""
    yes, no = Verdict("robots_txt", True, "a"), Verdict("robots_txt", False, "b")
    assert refused([]) is None
    assert refused([yes]) is None
    for verdict, reason in [
        (no, "robots"),
        (Verdict("tdmrep", False, "b"), "opted_out"),
        (Verdict("x_robots_tag", False, "b"), "opted_out"),
    ]:
        reject = refused([yes, verdict, Verdict("tdmrep", False, "c")])
        assert reject is not None
        assert (reject.reason, reject.detail) == (reason, "b")
