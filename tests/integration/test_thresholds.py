"""Other bounds after a full run: nothing is fetched, scored or asked for a row that was done."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import DONE
from tests.integration.counted import Log, embeddings, questions
from tests.pipeline.runs import showtell, status, write_config
from tests.stages.chat_server import ChatServer
from tests.stages.servers import Answer, Site, serve
from tests.stages.tiny_clip import save_tiny_clip

ROWS = 12
COPIES = {10: 0, 11: 1}
"""Rows with a smaller copy of an earlier row's picture."""
TINY = 9
"""The row whose picture is small."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of pictures on this machine."""
    with serve() as running:
        yield running


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A chat server on this machine."""
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    with ChatServer() as server:
        yield server


def picture(row: int) -> bytes:
    """Draw the picture of a row: coarse noise of its own, as large as it is to be."""
    noise = np.random.default_rng(COPIES.get(row, row)).integers(0, 256, (8, 8, 3), np.uint8)
    side = {TINY: 16}.get(row, 48 if row in COPIES else 64)
    file = io.BytesIO()
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


class Run:
    """A run that is made again with other settings, and what that cost."""

    def __init__(self, folder: Path, site: Site, chat: ChatServer) -> None:
        self.site, self.chat = site, chat
        self.log = Log(folder / "clip.log")
        self.pictures = {row: picture(row) for row in range(ROWS)}
        urls = {row: site.add(f"/{row}.png", Answer(data)) for row, data in self.pictures.items()}
        lines = ({"id": f"s{row:02}", "image_url": url, "captions": [f"caption {row}"]} for row, url in urls.items())
        (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.config = str(write_config(folder, [
            {"use": "download", "allow_hosts": ["127.0.0.1"], "decoders": 1},
            {"use": "quality", "min_side": 20},
            {"use": "tests.integration.logged_clip:LoggedClipScore", "name": "clip_score", "log": str(self.log.file),
             "model": str(save_tiny_clip(folder / "clip"))},
            {"use": "dedupe"},
            {"use": "filter", "keep": "clip_score >= -1"},
            {"use": "converse", "kinds": ["detail"], "check": {"types": []},
             "chat": {"base_url": chat.url, "model": "tiny"}},
        ], part_rows=6))

    def again(self, *settings: str, until: str = "converse") -> tuple[int, Counter[str], set[int]]:
        """Run; return the number of requests, what CLIP embedded, and the rows the LLM was asked about."""
        fetched, asked = self.site.requests.total(), self.chat.calls
        changed = [f"--set={each}" for each in settings]
        assert showtell("run", self.config, "--runner", "inline", "--until", until, *changed).returncode == DONE
        about = questions(self.chat, asked)
        assert set(about.values()) <= {1}
        return self.site.requests.total() - fetched, self.log.taken(), {int(row) for row in about}


def test_other_bounds_do_nothing_again(
    tmp_path: Path, site: Site, chat_server: ChatServer
) -> None:
    """A filter's threshold, the distance of duplicates and a bound of quality: requests, embeddings and questions are
    those of rows that come in for the first time, and `status` had told how many a filter would keep."""
    run = Run(tmp_path, site, chat_server)
    nothing: tuple[int, Counter[str], set[int]] = (0, Counter(), set())

    def told() -> dict[str, Any]:
        found = status(tmp_path / "run")
        return {stage["stage"]: stage["kept"] for stage in found["stages"]} | {"scores": found["scores"]}

    requests, embedded, asked = run.again(until="dedupe")
    assert requests >= ROWS
    assert embedded == embeddings({row: data for row, data in run.pictures.items() if row != TINY})
    assert (asked, told()["dedupe"]) == (set(), ROWS - 1 - len(COPIES))

    edges = told()["scores"][0]["edges"]
    strict = f"filter.keep=clip_score >= {sum(edges) / len(edges):.6f}"
    requests, embedded, first = run.again(strict)
    assert (requests, embedded) == (0, Counter())
    assert 0 < len(first) < ROWS - 1 - len(COPIES)
    [what_if] = told()["scores"][0]["what_ifs"]
    assert (what_if["entered"], told()["filter"]) == (ROWS - 1 - len(COPIES), len(first))

    for other in (what_if["kept"][0], what_if["kept"][-1]):
        requests, embedded, asked = run.again(f"filter.keep=clip_score >= {other['threshold']:.12g}")
        assert (requests, embedded, told()["filter"]) == (0, Counter(), other["kept"])
        assert not asked & first
        first |= asked
    assert run.again(strict) == nothing
    assert run.again()[:2] == (0, Counter())
    assert set(questions(chat_server, 0)) == {str(row) for row in range(ROWS) if row not in {TINY, *COPIES}}

    assert run.again("dedupe.near=8") == nothing
    assert run.again("dedupe.near=null") == (0, Counter(), set(COPIES))
    assert run.again() == nothing

    assert run.again("quality.min_side=10") == (0, embeddings({TINY: run.pictures[TINY]}), {TINY})
    assert run.again("quality.min_side=50") == nothing
    assert run.again() == nothing
    assert set(questions(chat_server, 0).values()) == {1}
