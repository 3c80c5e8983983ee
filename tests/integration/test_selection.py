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
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["id"])))
    return of


@needs_real_data
def test_planted_copies_of_photographs(tmp_path: Path) -> None:
    """Each copy is rejected for the original, each original kept, and changing what is kept fetches nothing again."""
    of = write_copies(tmp_path)
    stages: list[dict[str, Any]] = [
        {"use": "download"}, {"use": "quality", "preset": "datacomp_basic", "min_contrast": 5}, {"use": "dedupe"},
    ]
    config = write_config(tmp_path, stages, part_rows=16)
    result, _ = run_inline(config)
    reports = result.view.reports()
    assert reports["quality"].rejected == {}
    assert reports["dedupe"].rejected == {"duplicate_exact": 1, "duplicate_near": 2 * PHOTOS}
    rejects = [row for part in result.view.parts() for row in result.view.rejects(part).to_pylist()]
    assert all(row["detail"] in {f"of {of[row['id']]}"} or of[row["id"]] == "0" for row in rejects)
    kept = [row["id"] for part in result.view.parts() for row in result.view.table(part, ["id"]).to_pylist()]
    assert sorted(of[name] for name in kept) == sorted(str(number) for number in range(PHOTOS))
    _, watcher = run_inline(config, "dedupe.reject=exact")
    done = {outcome.stage: outcome.report for outcome in watcher.outcomes if outcome.report}
    assert sum(report.kept for report in [result.view.reports()["quality"]]) == len(of)
    assert {stage for stage in done} == {"download", "quality", "dedupe"}
