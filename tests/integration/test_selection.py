"""Real photographs with planted copies, from files to clusters, through the stages that select."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from tests.integration.real_data import DATA, needs_real_data, records
from tests.pipeline.runs import run_inline, write_config

PHOTOS = 24


def write_copies(folder: Path) -> dict[str, str]:
    """Write each photograph with a re-encoded and a smaller copy; return whose copy each sample is."""
    rows: list[dict[str, Any]] = []
    of = {}
    for number, photo in enumerate(records("photos.jsonl")[:PHOTOS]):
        image = Image.open(DATA / photo["image"]).convert("RGB")
        (folder / f"{number}.jpg").write_bytes((DATA / photo["image"]).read_bytes())
        image.save(folder / f"{number}-again.jpg", quality=60)
        image.resize((image.width // 2, image.height // 2)).save(folder / f"{number}-small.jpg")
        for name in (str(number), f"{number}-again", f"{number}-small"):
            rows.append({"id": name, "image": f"{name}.jpg", "captions": photo["captions"]})
            of[name] = str(number)
    rows.append({**rows[0], "id": "0-twin"})
    of["0-twin"] = "0"
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return of


@needs_real_data
def test_planted_copies_of_photographs(tmp_path: Path) -> None:
    """Each copy is rejected for its original, each original kept, and no two photographs are taken for one."""
    of = write_copies(tmp_path)
    stages: list[dict[str, Any]] = [{"use": "download"}, {"use": "quality", "min_contrast": 5}, {"use": "dedupe"}]
    result, _ = run_inline(write_config(tmp_path, stages, part_rows=16))
    reports = result.view.reports()
    assert reports["quality"].rejected == {}
    assert reports["dedupe"].rejected == {"duplicate_exact": 1, "duplicate_near": 2 * PHOTOS}
    rejects = [row for part in result.view.parts() for row in result.view.rejects(part).to_pylist()]
    assert {row["id"]: row["detail"] for row in rejects} == {
        name: f"of {photo}" for name, photo in of.items() if name != photo
    }
