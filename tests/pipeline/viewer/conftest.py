"""A small run with everything a page has to show, and the command that serves it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image, ImageDraw

from tests.pipeline.runs import ROOT, run_inline, write_config
from tests.stages.chat_server import ChatServer, completion

ROWS = 70
"""More than a page of the grid holds."""

HOSTILE = "<script>document.title = 'hit'</script> `|*_[x](javascript:alert(1))"
BALL = [0.25, 0.5, 0.75, 1.0]


def sources(folder: Path) -> list[dict[str, object]]:
    """Return the source: ``s0`` has a box, ``s1`` is hostile, ``s2`` cannot be fetched, ``s3`` can be heard."""
    picture = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(picture).ellipse([50, 50, 150, 100], fill="red")
    picture.save(folder / "ball.png")
    Image.new("RGB", (40, 40), "blue").save(folder / "small.png")
    (folder / "sound.ogg").write_bytes((ROOT / "sample" / "world" / "audio" / "scene-0007.ogg").read_bytes())
    rows: list[dict[str, object]] = [{"id": f"s{number}", "image": "ball.png", "captions": [f"ball {number}"]}
                                     for number in range(ROWS)]
    rows[0] |= {"boxes": [{"label": "ball", "box": BALL}], "captions": ["a red ball", "one ball"]}
    rows[1] |= {"captions": [HOSTILE], "license": HOSTILE, "boxes": [{"label": HOSTILE, "box": BALL}], "note": HOSTILE}
    rows[2] = {"id": "s2", "image_url": "javascript:document.title='hit'", "captions": [HOSTILE]}
    rows[3] |= {"audio": "sound.ogg"}
    rows[4] |= {"image": "small.png"}
    return rows


@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory."""
    folder = tmp_path_factory.mktemp("viewed")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sources(folder)))
    with ChatServer() as server:
        server.respond = lambda body: completion(json.dumps({"description": "It is round."}))
        chat = {"model": "tiny", "base_url": server.url}
        stages = [
            {"use": "download"}, {"use": "filter", "keep": "width >= 64"}, {"use": "tests.pipeline.viewer.probes:Said"},
            {"use": "converse", "kinds": ["detail"], "chat": chat, "check": {"types": []}},
            {"use": "templates", "kinds": ["brief", "pointing"], "absent_labels": []}, {"use": "shards"},
        ]
        run_inline(write_config(folder, stages, part_rows=16))
    return folder / "run"


@pytest.fixture(scope="session")
def page(viewed: Path) -> Iterator[str]:
    """The address of the page, served by the command."""
    command = [sys.executable, "-m", "pipeline", "view", str(viewed), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        while not json.load(urlopen(f"{address}api/run", timeout=20))["is_done"]:
            time.sleep(0.05)
        yield address
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
