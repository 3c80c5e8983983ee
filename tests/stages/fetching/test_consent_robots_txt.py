"""What robots.txt means, file by file."""

from __future__ import annotations

import time

import pytest
from yarl import URL

from stages.fetching.robots_txt import MAX_BYTES, RobotsTxt
from stages.fetching.site_files import Answer

FILE = "http://a.example/robots.txt"


def read(text: str, status: int = 200, product: str = "showtell") -> RobotsTxt:
    return RobotsTxt.parse(FILE, Answer(status, text), product)


def said(text: str, path: str) -> str:
    """Return the rule that decided, as the ledger quotes it."""
    verdict = read(text).verdict(URL(f"http://a.example{path}"))
    assert verdict.rule == "robots_txt"
    assert verdict.allowed == (not verdict.source.startswith(f"{FILE}: Disallow"))
    return verdict.source.removeprefix(f"{FILE}: ")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        # Which pattern matches (RFC 9309, 2.2.2 and 2.2.3).
        ("User-agent: *\nDisallow: /private/", "/private/a.jpg", "Disallow: /private/"),
        ("User-agent: *\nDisallow: /private/", "/private", "no rule"),
        ("User-agent: *\nDisallow: /private/", "/Private/a.jpg", "no rule"),
        ("User-agent: *\nDisallow: /*.gif$", "/a/b.gif", "Disallow: /*.gif$"),
        ("User-agent: *\nDisallow: /*.gif$", "/a/b.gif?c=d", "no rule"),
        ("User-agent: *\nDisallow: /a$", "/a", "Disallow: /a$"),
        ("User-agent: *\nDisallow: /a$", "/ab", "no rule"),
        ("User-agent: *\nDisallow: /a*b*b$", "/ab", "no rule"),
        ("User-agent: *\nDisallow: *?size=", "/a.jpg?size=9", "Disallow: *?size="),
        ("User-agent: *\nDisallow: /fotos/é", "/fotos/%C3%A9t%C3%A9.jpg", "Disallow: /fotos/é"),
        ("User-agent: *\nDisallow: /fotos/%c3%a9", "/fotos/été.jpg", "Disallow: /fotos/%c3%a9"),
        ("User-agent: *\nDisallow: /%7Ejoe/", "/~joe/a.jpg", "Disallow: /%7Ejoe/"),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", "no rule"),
        ("User-agent: *\nDisallow: /cost-%24", "/cost-$5", "Disallow: /cost-%24"),
        ("User-agent: *\nDisallow: /", "", "Disallow: /"),
        # Which of several counts: the longest, and of equal ones the one that allows.
        ("User-agent: *\nDisallow: /\nAllow: /pub/", "/pub/a.jpg", "Allow: /pub/"),
        ("User-agent: *\nAllow: /pub/\nDisallow: /pub/secret/", "/pub/secret/a", "Disallow: /pub/secret/"),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", "Allow: /a"),
        ("User-agent: *\nDisallow:", "/a", "no rule"),
        # Whose group it is (2.2.1).
        ("User-agent: showtell\nDisallow: /a\n\nUser-agent: *\nDisallow: /", "/b", "no rule"),
        ("User-agent: *\nDisallow: /\n\nUser-agent: ShowTell\nDisallow:", "/b", "no rule"),
        ("User-agent: showtell/1.0\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: showtell*\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: show\nDisallow: /", "/a", "no rule"),
        ("User-agent: s\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: a\nUser-agent: showtell\nUser-agent: b\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: a\nSitemap: http://a/b\nUser-agent: showtell\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: *\nUser-agent: showtell\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: showtell\nDisallow: /a\nUser-agent: b\nDisallow: /b\nUser-agent: showtell\nDisallow: /c",
         "/c", "Disallow: /c"),
        ("User-agent: *\nCrawl-delay: 5\nUser-agent: bad\nDisallow: /", "/a", "no rule"),
        ("Disallow: /", "/a", "no rule"),
        # How people write it.
        ("\ufeffUser-agent: *\r\nDisallow: /\r\n", "/a", "Disallow: /"),
        ("user-agent:*\rDISALLOW:/a # not there\r", "/a", "Disallow: /a"),
        ("  useragent : *  \n  dissallow : /a b  ", "/a%20b", "Disallow: /a b"),
        ("User-agent *\nDisallow /a", "/a", "Disallow: /a"),
        ("User-agent:\nDisallow: /", "/a", "no rule"),
        ("User-agent: *\nDisallow: a", "/a", "no rule"),
        ("<!doctype html><html><body>Disallow: /</body></html>", "/a", "no rule"),
        ("U\x00s\x00e\x00r\x00-\x00a\x00g\x00e\x00n\x00t\x00:\x00 \x00*\x00", "/a", "no rule"),
        ("", "/a", "no rule"),
    ],
)
def test_rule_that_counts(text: str, path: str, expected: str) -> None:
    """The rule that decides is the one the RFC says, and the ledger quotes it."""
    assert said(text, path) == expected


@pytest.mark.parametrize(("status", "allowed"), [(301, True), (401, True), (403, True), (404, True), (410, True),
                                                 (429, True), (500, False), (503, False)])
def test_no_file_is_told_from_no_answer(status: int, allowed: bool) -> None:
    """A site without rules may be asked, one whose server fails may not (RFC 9309, 2.3.1.3 and 2.3.1.4)."""
    verdict = read("User-agent: *\nDisallow: /", status).verdict(URL("http://a.example/a"))
    assert (verdict.allowed, verdict.source) == (allowed, f"{FILE}: HTTP {status}")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("0", 0.0), ("-1", None), ("nan", None), ("inf", None), ("soon", None), ("", None)],
)
def test_crawl_delay_is_a_number_of_seconds(value: str, seconds: float | None) -> None:
    """What is no number of seconds is no delay."""
    assert read(f"User-agent: *\nCrawl-delay: {value}\nDisallow: /a").crawl_delay_s == seconds


def test_crawl_delay_is_that_of_our_group() -> None:
    """Another crawler's delay is not ours."""
    text = "User-agent: *\nCrawl-delay: 9\n\nUser-agent: showtell\nCrawl-delay: 2\n\nUser-agent: b\nCrawl-delay: 7"
    assert read(text).crawl_delay_s == 2
    assert read(text, product="c").crawl_delay_s == 9


def test_long_rule_is_quoted_in_part() -> None:
    """The ledger does not grow with what a host writes."""
    assert len(said(f"User-agent: *\nDisallow: /{'a' * 9000}", f"/{'a' * 9000}")) == 200


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"user-agent: a{number}\n" for number in range(14_000)) + "disallow: /\n" * 20_000,
        "user-agent: *\n" + "disallow: /a*b\n" * 33_000,
        "user-agent: *\ndisallow: /" + "a*" * 250_000 + "b$",
        "user-agent: *\ndisallow: /" + "%41" * 160_000,
        "\n" * MAX_BYTES,
        ":" * MAX_BYTES,
        "#" * MAX_BYTES,
    ],
    ids=["agents", "rules", "stars", "escapes", "lines", "colons", "comment"],
)
def test_hostile_file_costs_little(text: str) -> None:
    """A file as long as we read, made to be slow, is read and matched in a moment."""
    started = time.process_time()
    verdict = read(text[:MAX_BYTES]).verdict(URL(f"http://a.example/{'a' * 4000}"))
    assert verdict.allowed
    assert time.process_time() - started < 5
