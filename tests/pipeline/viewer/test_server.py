"""The server of the page: who is answered, and with what."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.pipeline.runs import showtell
from tests.pipeline.viewer.conftest import ROWS


def get(page: str, path: str, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body and headers of an answer."""
    try:
        with urlopen(Request(page + path, headers=headers), timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except HTTPError as error:
        return error.code, error.read(), error.headers


def raw(page: str, request: str) -> bytes:
    """Send a request as it is, and return the whole answer."""
    with socket.create_connection(("127.0.0.1", urlsplit(page).port or 0), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def rows(page: str, *parameters: tuple[str, object]) -> dict[str, Any]:
    """Return what a search finds."""
    status, body, _ = get(page, f"api/rows?{urlencode(parameters)}")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [row["id"] for row in found["rows"]]


def test_run_says_what_there_is_to_filter_by(page: str) -> None:
    """Every row is indexed, with its fate, kinds and scores."""
    run = json.loads(get(page, "api/run")[1])
    assert (run["rows"], run["indexed"], run["is_done"], run["problems"]) == (ROWS, ROWS, True, [])
    assert run["facets"]["state"] == {"kept": ROWS - 2, "rejected": 2}
    assert run["facets"]["reason"] == {"bad_url": 1, "filtered": 1}
    assert run["facets"]["stage"] == {"download": 1, "filter": 1}
    assert sum(run["facets"]["split"].values()) == ROWS - 2
    assert run["facets"]["kinds"]["conversation"] == ROWS - 2
    assert run["scores"]["width"] == [40, 200]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("state", "rejected")], ["s2", "s4"]),
        ([("reason", "bad_url")], ["s2"]),
        ([("stage", "filter"), ("stage", "download")], ["s2", "s4"]),
        ([("kinds", "pointing")], ["s0"]),
        ([("range", "width::50")], ["s4"]),
        ([("range", "audio_duration_s:1:")], ["s3"]),
        ([("q", "RED ball")], ["s0"]),
        ([("q", "they are blue")], ["s3"]),
        ([("q", "<script> javascript:document")], ["s2"]),
        ([("q", "no such words")], []),
    ],
)
def test_filters(page: str, parameters: list[tuple[str, object]], expected: list[str]) -> None:
    """Each filter finds its rows, rejected ones too; texts of every source are searched."""
    found = rows(page, *parameters)
    assert (found["total"], ids(found)) == (len(expected), expected)


def test_pages_and_order(page: str) -> None:
    """Pages follow one another in the order of the source or of a score, rows without the score last."""
    assert ids(rows(page, ("offset", 16), ("limit", 3))) == ["s16", "s17", "s18"]
    assert ids(rows(page, ("sort", "width"), ("limit", 2))) == ["s4", "s0"]
    assert ids(rows(page, ("sort", "-width"), ("offset", ROWS - 2))) == ["s4", "s2"]
    assert rows(page, ("offset", 10 * ROWS)) == {"total": ROWS, "rows": []}


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("api/rows?sort=beauty", 400, "beauty: no such score"),
        ("api/rows?range=width:a:b", 400, "range = width:a:b: must be SCORE:LEAST:GREATEST"),
        ("api/rows?range=width", 400, "range = width: must be SCORE:LEAST:GREATEST"),
        ("api/rows?offset=-1", 400, "offset = -1: must be a number from 0"),
        ("api/sample/99/0", 404, "there is no part 99"),
        ("api/sample/0/16", 404, "part 0 has no row 16"),
        ("audio/0/0", 404, "part 0, row 0: no audio"),
    ],
)
def test_what_is_asked_wrongly_is_told(page: str, path: str, status: int, problem: str) -> None:
    """A bad search or place is an answer with one line, never a failure of the server."""
    code, body, _ = get(page, path)
    assert (code, json.loads(body)) == (status, {"error": problem})


def test_sample_is_whole(page: str) -> None:
    """A sample comes with boxes, conversations and findings, scores, and the story that `why` tells."""
    sample = json.loads(get(page, "api/sample/0/0")[1])
    assert sample["boxes"] == [{"label": "ball", "box": [0.25, 0.5, 0.75, 1.0]}]
    assert [finding["type"] for finding in sample["conversations"][0]["findings"]] == ["count", "object"]
    assert sample["scores"]["width"] == 200
    told = {chapter["stage"]: chapter for chapter in sample["story"]}
    assert told["filter"]["rule"] == {"width": 200}
    assert told["filter"]["settings"] == {"keep": "width >= 64"}
    assert [row["kind"] for row in told["dataset"]["rows"]] == [talk["kind"] for talk in sample["conversations"]]
    rejected = json.loads(get(page, "api/sample/0/4")[1])
    assert (rejected["state"], rejected["stage"], rejected["reason"]) == ("rejected", "filter", "filtered")
    assert rejected["detail"] == "width = 40"


def test_media(page: str) -> None:
    """Images come as they are and small, recordings whole or in pieces, by the type of their bytes."""
    status, image, headers = get(page, "image/0/0")
    assert (status, headers["Content-Type"], image[:4]) == (200, "image/png", b"\x89PNG")
    assert get(page, "thumb/0/0")[1][8:12] == b"WEBP"
    _, sound, headers = get(page, "audio/0/3")
    assert (headers["Content-Type"], headers["Accept-Ranges"]) == ("audio/ogg", "bytes")
    for asked, expected, told in (
        ("bytes=10-19", sound[10:20], f"bytes 10-19/{len(sound)}"),
        ("bytes=10-", sound[10:], f"bytes 10-{len(sound) - 1}/{len(sound)}"),
        ("bytes=-10", sound[-10:], f"bytes {len(sound) - 10}-{len(sound) - 1}/{len(sound)}"),
    ):
        status, piece, headers = get(page, "audio/0/3", Range=asked)
        assert (status, piece, headers["Content-Range"]) == (206, expected, told)
    assert get(page, "audio/0/3", Range=f"bytes={len(sound)}-")[0] == 416


def test_foreign_host_is_refused(page: str) -> None:
    """A page elsewhere whose name was made to point here gets nothing (DNS rebinding)."""
    port = urlsplit(page).port
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "", "[::1]"):
        answer = raw(page, f"GET /api/run HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403"), host
        assert b"facets" not in answer
    assert b" 200 " in raw(page, f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")[:20]
    assert b" 403 " in raw(page, "GET / HTTP/1.0\r\n\r\n")[:20]


@pytest.mark.parametrize(
    "path",
    [
        "/../run.json", "/%2e%2e/run.json", "/..%2frun.json", "//etc/passwd", "/view.js/../../server.py", "/run.json",
        "/image/../../run.json", "/image/0/..%2f0", "/image/-1/0", "/image/0/1e3", "/api/sample/0/%00", "/page/view.js",
        "/image/0/\u0663", "/thumb/99999999999999999999/0",
    ],
)
def test_no_path_leads_out(page: str, path: str) -> None:
    """Nothing but the page's own files and the run's rows is served."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    status = raw(page, request).split(b" ", 2)[1]
    assert status in (b"404", b"400")


def test_only_reading(page: str) -> None:
    """There is nothing to post to."""
    answer = raw(page, "POST /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405")


@pytest.mark.parametrize("path", ["", "view.js", "api/run", "image/0/0", "nowhere"])
def test_every_answer_is_guarded(page: str, path: str) -> None:
    """Every answer, a failure too, forbids scripts of others, framing, sniffing and use by other sites."""
    headers = get(page, path)[2]
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_it_listens_on_this_machine_only(page: str) -> None:
    """Its address is the loopback; another of this machine's addresses is not served."""
    assert urlsplit(page).hostname == "127.0.0.1"
    with socket.socket() as connection:
        connection.settimeout(5)
        assert connection.connect_ex(("127.0.0.2", urlsplit(page).port)) != 0


def test_wrong_commands(tmp_path: Path, viewed: Path, page: str) -> None:
    """A folder without a run, a port that is taken, a file that cannot be written: one line and exit 2."""
    for arguments, named in (
        ([str(tmp_path)], "holds no run (no run.json)"),
        ([str(viewed), "--port", str(urlsplit(page).port)], "--port = "),
        ([str(viewed), "--static", str(tmp_path / "no" / "out.html")], "--static = "),
    ):
        ended = showtell("view", *arguments)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert named in ended.stderr
