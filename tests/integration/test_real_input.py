"""Real photographs over HTTP to a dataset, real speech through the transcriber."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from datasets import load_from_disk

from tests.integration.real_data import DATA, needs_real_data, records
from tests.pipeline.runs import ROOT, run_inline

MODELS = ROOT / "sample" / "models"


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def photo_server() -> Iterator[str]:
    """Serve the photographs on the loopback interface."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(DATA))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_run(folder: Path, rows: list[dict[str, object]], stages: list[dict[str, object]]) -> Path:
    """Write a source and its config."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "name": "real", "run_dir": "run", "stages": stages,
        "source": {"kind": "table", "path": "rows.jsonl", "part_rows": 16},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "config.yaml"


@needs_real_data
def test_photographs_become_a_dataset(tmp_path: Path, photo_server: str) -> None:
    """COCO photographs with human captions and boxes go over HTTP to a dataset that `datasets` opens."""
    photos = records("photos.jsonl")
    rows = [
        {
            "id": photo["id"], "image_url": f"{photo_server}/{photo['image']}", "captions": photo["captions"],
            # An empty list there means that nobody annotated the photograph, not that it shows nothing.
            "boxes": photo["boxes"] or None, "license": photo["license"],
        }
        for photo in photos
    ]
    config = write_run(tmp_path, rows, [
        {"use": "download", "allow_hosts": ["127.0.0.1"], "image_size": 336, "resize_mode": "keep_ratio"},
        {"use": "clip_score", "model": str(MODELS / "clip")},
        {"use": "filter", "keep": "clip_score > -1 and width >= 64"},
        {"use": "templates"},
        {"use": "shards", "splits": {"validation": 0.2}},
    ])
    result, _ = run_inline(config)
    dataset = load_from_disk(str(tmp_path / "run" / "dataset"))
    found = {row_id for split in dataset.values() for row_id in split["id"]}
    assert found == {photo["id"] for photo in photos}
    assert result.view.reports()["shards"].kept == len(photos) == 56
    row = dataset["train"][0]
    assert min(row["images"][0].size) == 336
    assert row["messages"][0]["role"] == "user"
    assert row["license"].startswith("CC-BY")
    by_id = {photo["id"]: photo for photo in photos}
    for split in dataset.values():
        for row in split.remove_columns("images"):
            assert (row["boxes"] is None) == (not by_id[row["id"]]["boxes"])
            assert row["boxes"] or row["kind"] == "brief", "nothing is counted where nobody annotated"


@needs_real_data
def test_speech_is_decoded_and_accounted_for(tmp_path: Path) -> None:
    """Every real clip, in every format, is decoded, resampled and transcribed or rejected with a reason."""
    clips = records("speech.jsonl")
    rows = [
        {"id": clip["audio"], "audio": str(DATA / clip["audio"]), "license": clip["license"]} for clip in clips
    ]
    config = write_run(tmp_path, rows, [
        {"use": "download"}, {"use": "transcribe", "model": str(MODELS / "whisper.pt")},
    ])
    result, _ = run_inline(config)
    report = result.view.reports()["transcribe"]
    assert report.entered == len(clips) == 32, "download takes every clip"
    assert report.kept + sum(report.rejected.values()) == 32
    assert set(report.rejected) <= {"no_speech"}, "no clip fails to decode"
    seconds = report.metrics["audio_seconds"]
    assert 200 < seconds < 800, "all of the audio was heard, at its right length"
    for part in result.view.parts():
        for row in result.view.table(part, ["transcript", "audio_seconds"]).to_pylist():
            assert row["transcript"]
            assert 1 < row["audio_seconds"] < 60
