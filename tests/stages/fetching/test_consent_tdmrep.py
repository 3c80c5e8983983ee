"""What TDMRep means, in the file and in headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from stages.fetching.site_files import Answer
from stages.fetching.tdmrep import MAX_BYTES, TdmRep, header_verdict

FILE = "http://a.example/.well-known/tdmrep.json"


def said(text: str, path: str = "/a.jpg", status: int = 200) -> tuple[bool, str]:
    """Return whether the URL may be used and what the ledger says."""
    verdict = TdmRep.parse(FILE, Answer(status, text)).verdict(URL(f"http://a.example{path}"))
    assert verdict.rule == "tdmrep"
    return verdict.allowed, verdict.source.removeprefix(f"{FILE}: ")


def rule(location: Any, reservation: Any = 1, **more: Any) -> dict[str, Any]:
    return {"location": location, "tdm-reservation": reservation, **more}


EXAMPLE = [
    rule("/directory-a/"),
    rule("/directory-b/html/", **{"tdm-policy": "https://a.example/policy.json"}),
    rule("/directory-b/images/*.jpg", 0),
]
"""The report's second example."""


@pytest.mark.parametrize(
    ("rules", "path", "allowed", "source"),
    [
        (EXAMPLE, "/directory-a/b.pdf", False, "tdm-reservation 1 for /directory-a/"),
        (EXAMPLE, "/directory-b/html/c", False,
         "tdm-reservation 1 for /directory-b/html/, tdm-policy https://a.example/policy.json"),
        (EXAMPLE, "/directory-b/images/d.jpg", True, "tdm-reservation 0 for /directory-b/images/*.jpg"),
        (EXAMPLE, "/directory-c/", True, "no rule"),
        ([rule("/", 0), rule("/a.jpg")], "/a.jpg", True, "tdm-reservation 0 for /"),
        ([rule("/a.jpg", 0), rule("/")], "/a.jpg", True, "tdm-reservation 0 for /a.jpg"),
        ([rule("/a.jpg", 0), rule("/")], "/b.jpg", False, "tdm-reservation 1 for /"),
        ([rule("/this/*/then")], "/this/or/then/that", False, "tdm-reservation 1 for /this/*/then"),
        ([rule("/exactly$")], "/exactly", False, "tdm-reservation 1 for /exactly$"),
        ([rule("/exactly$")], "/exactly/not", True, "no rule"),
        ([rule("/path/foo-%24")], "/path/foo-$", False, "tdm-reservation 1 for /path/foo-%24"),
        ([rule("/", "1")], "/a", False, "tdm-reservation 1 for /"),
        ([rule("/", 1.0)], "/a", False, "tdm-reservation 1 for /"),
        ([rule("/", 0, **{"tdm-policy": "https://a.example/"})], "/a", True, "tdm-reservation 0 for /"),
        ([rule("/", 1, **{"tdm-policy": ["https://a.example/"]})], "/a", False, "tdm-reservation 1 for /"),
        ([rule("/\ud800")], "/?b=c", False, "tdm-reservation 1 for /?"),
    ],
)
def test_first_rule_that_matches_counts(
    rules: list[dict[str, Any]], path: str, allowed: bool, source: str
) -> None:
    """Rules are read in their order, with the patterns of robots.txt."""
    assert said(json.dumps(rules), path) == (allowed, source)


@pytest.mark.parametrize("value", [2, -1, True, None, "yes", [1], {"a": 1}, 10**400, float("inf")])
def test_other_value_is_no_reservation(value: Any) -> None:
    """Anything but 0 and 1 is a mistake, and the next rule counts."""
    assert said(json.dumps([rule("/", value)])) == (True, "no rule")
    assert said(json.dumps([rule("/", value), rule("/")]))[0] is False


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "not JSON"),
        ("<html></html>", "not JSON"),
        ('[{"location": "/", "tdm-reservation": 1}', "not JSON"),
        ("[" * (MAX_BYTES - 1), "not JSON"),
        ("[" + "9" * 5000 + "]", "not JSON"),
        ("[" + " " * (MAX_BYTES - 1), f"longer than {MAX_BYTES} bytes"),
        ('{"location": "/", "tdm-reservation": 1}', "not a list"),
        ("null", "not a list"),
        ('[null, 1, "/", [], {}, {"location": "/"}, {"tdm-reservation": 1}]', "no rule"),
        ('[{"location": "", "tdm-reservation": 1}, {"location": 1, "tdm-reservation": 1}]', "no rule"),
    ],
)
def test_what_is_no_such_file_reserves_nothing(text: str, found: str) -> None:
    """The ledger says what was found in its place."""
    assert said(text) == (True, found)


def test_byte_order_mark_is_no_mistake() -> None:
    """Some editors write one."""
    assert said("\ufeff" + json.dumps([rule("/")])) == (False, "tdm-reservation 1 for /")


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_site_without_the_file_reserves_nothing(status: int) -> None:
    """Failure to give the file means the site does not take part in the protocol."""
    assert said(json.dumps([rule("/")]), status=status) == (True, f"HTTP {status}")


@pytest.mark.parametrize(
    ("headers", "allowed", "source"),
    [
        ([("TDM-Reservation", "1")], False, "tdm-reservation: 1"),
        ([("tdm-reservation", " 1 "), ("tdm-policy", "https://a.example/p")], False,
         "tdm-reservation: 1, tdm-policy https://a.example/p"),
        ([("tdm-reservation", "0"), ("tdm-policy", "https://a.example/p")], True, "tdm-reservation: 0"),
        ([("tdm-reservation", "0"), ("tdm-reservation", "1")], False, "tdm-reservation: 0, 1"),
        ([("tdm-reservation", "0, 1")], False, "tdm-reservation: 0, 1"),
        ([("tdm-reservation", "yes")], True, "tdm-reservation: yes"),
        ([("tdm-reservation", "\udce9")], True, "tdm-reservation: ?"),
    ],
)
def test_header_is_read(headers: list[tuple[str, str]], allowed: bool, source: str) -> None:
    """The header reserves if any of its values is 1."""
    verdict = header_verdict(CIMultiDict(headers))
    assert verdict is not None
    assert (verdict.rule, verdict.allowed, verdict.source) == ("tdmrep", allowed, source)


def test_response_without_the_header_says_nothing() -> None:
    """A policy alone reserves nothing."""
    assert header_verdict(CIMultiDict({"tdm-policy": "https://a.example/p"})) is None
