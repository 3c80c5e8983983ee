"""``retry`` through download, CLIP and LLM: what came back is worked on, and nothing else is asked again."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.cli import DONE
from tests.integration.counted import Log, embeddings, questions
from tests.pipeline.runs import showtell, status, write_config
from tests.stages.chat_server import ChatServer
from tests.stages.servers import Answer, Site, serve
from tests.stages.tiny_clip import save_tiny_clip

FINE, SLOW, BUSY, GONE = "fine", "slow", "busy", "gone"
FIRST = {
    FINE: None,
    SLOW: Answer(wait_s=60),
    BUSY: Answer(status=429),
    GONE: Answer(status=404),
}
"""How the server answers first; None: with the picture."""
ROWS = [FINE, SLOW, GONE, BUSY, FINE, FINE, FINE, FINE, SLOW, BUSY, SLOW, GONE, FINE]
"""What becomes of each row at first; in parts of 4, so the second part has nothing to retry."""
NEVER = 8
"""A slow row that is slow for ever."""
KINDS = ["conversation", "detail"]


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


def picture(row: int) -> Image.Image:
    """Draw the picture of a row: each has a shade of its own."""
    return Image.new("RGB", (24, 24), (row * 9, 90, 200 - row * 9))


def body(row: int) -> bytes:
    """Return the row's picture as a file."""
    buffer = io.BytesIO()
    picture(row).save(buffer, "PNG")
    return buffer.getvalue()


def reasons(run_dir: Path) -> dict[str, Any]:
    """Return what `status` says of each stage: rows in and rejected, by reason."""
    stages = status(run_dir)["stages"][1:]
    return {stage["stage"]: (stage["entered"], stage["rejected"]) for stage in stages}


def test_retry_asks_only_for_what_failed_and_later_stages_see_only_what_came_back(
    tmp_path: Path, site: Site, chat_server: ChatServer
) -> None:
    """Requests per URL, images and texts embedded and LLM calls are those of the rows retried and come back."""
    urls = [site.add(f"/{row}.png", FIRST[fate] or Answer(body(row))) for row, fate in enumerate(ROWS)]
    lines = ({"id": f"s{row}", "image_url": url, "captions": [f"caption {row}"]} for row, url in enumerate(urls))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = Log(tmp_path / "clip.log")
    clip = {"use": "tests.integration.logged_clip:LoggedClipScore", "log": str(log.file),
            "model": str(save_tiny_clip(tmp_path / "clip"))}
    chat = {"base_url": chat_server.url, "model": "tiny"}
    download = {"use": "download", "allow_hosts": ["127.0.0.1"], "timeout_s": 2, "retries": 0, "decoders": 1}
    converse = {"use": "converse", "kinds": KINDS, "chat": chat, "check": {"types": []}}
    config = write_config(tmp_path, [download, clip, converse])
    run_dir = tmp_path / "run"
    fates = {fate: [row for row, one in enumerate(ROWS) if one == fate] for fate in FIRST}

    assert showtell("run", str(config), "--runner", "inline").returncode == DONE
    told = reasons(run_dir)
    assert told["download"] == (len(ROWS), {"timeout": 3, "http_429": 2, "http_404": 2})
    assert all(site.requests[f"/{row}.png"] == 1 for row in range(len(ROWS)))
    assert log.taken() == embeddings({row: body(row) for row in fates[FINE]})
    assert questions(chat_server, 0) == {str(row): len(KINDS) for row in fates[FINE]}

    for row in range(len(ROWS)):
        if row != NEVER:
            site.add(f"/{row}.png", Answer(body(row)))
    before, calls = Counter(site.requests), chat_server.calls
    retried = showtell("retry", str(run_dir), "--only", "timeout,http_429", "--runner", "inline")
    assert retried.returncode == DONE
    again = {f"/{row}.png" for row in fates[SLOW] + fates[BUSY]}
    assert {path: count for path, count in (site.requests - before).items() if path.endswith(".png")} == dict.fromkeys(
        again, 1
    )
    came_back = [row for row in fates[SLOW] + fates[BUSY] if row != NEVER]
    assert log.taken() == embeddings({row: body(row) for row in came_back})
    assert questions(chat_server, calls) == {str(row): len(KINDS) for row in came_back}
    told = reasons(run_dir)
    kept = len(fates[FINE]) + len(came_back)
    assert told == {"download": (len(ROWS), {"timeout": 1, "http_404": 2}), "clip_score": (kept, {}),
                    "converse": (kept, {})}

    before, calls = Counter(site.requests), chat_server.calls
    assert showtell("run", str(config), "--runner", "inline").returncode == DONE
    assert (site.requests, chat_server.calls, log.taken()) == (before, calls, {}), "nothing is left to be done"
