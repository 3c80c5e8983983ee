"""`status` shows scores: from what the run has stored, as text and as JSON, whatever state the run is in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.run_dir import RunDirectory
from pipeline.show_scores import histogram_lines, show_scores
from pipeline.stored import StoredRun
from stages.dataset.what_if import Score, WhatIf, read_scores
from tests.pipeline.runs import PROBES, run_inline, showtell, status, write_config, write_source

STAGES: list[dict[str, Any]] = [
    {"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Pictures"}, {"use": f"{PROBES}Length"},
    {"use": "filter", "keep": "clip_score >= 0.05 and length < 9"},
    {"use": "filter", "name": "best", "keep_top": {"column": "length", "fraction": 0.5}},
]
CAPTIONS = ["a" * (1 + 7 * number % 12) for number in range(20)] + ["reject"] * 3


def test_status_of_a_run(tmp_path: Path) -> None:
    """Histograms and counts are those the sinks' view gives; what `Picky` rejected has no score, what filters rejected
    has; after a looser filter, values of rows that are out again do not come back."""
    write_source(tmp_path, CAPTIONS)
    config = write_config(tmp_path, STAGES)
    for keep in ("clip_score >= 0.01", STAGES[3]["keep"]):
        result, _ = run_inline(config, f"filter.keep={keep}")
    told = status(tmp_path / "run")["scores"]
    scores = read_scores(result.view)
    assert told == json.loads(json.dumps([score.to_json() for score in scores]))
    assert [(score.column, sum(score.measured), sum(score.kept)) for score in scores] == [
        ("clip_score", 20, 4), ("length", 20, 4),
    ]
    shown = showtell("status", str(tmp_path / "run")).stdout
    assert "clip_score: 20 measured, 4 of them still in" in shown
    assert "what filter would keep of 20 rows" in shown
    assert "what best would keep of 7 rows" in shown


def test_unfinished_run(tmp_path: Path) -> None:
    """Counted is what there is: rows of parts a filter has not done are not; before any stage there is nothing."""
    write_source(tmp_path, CAPTIONS)
    config = write_config(tmp_path, STAGES)
    run_inline(config)
    run = RunDirectory(str(tmp_path / "run"))
    for folder in (tmp_path / "run" / "stages").glob("filter-*"):
        (folder / "00001.json").unlink()
    score = read_scores(StoredRun(run, run.all_reports()))[0]
    assert (sum(score.measured), [what_if.entered for what_if in score.what_ifs]) == (20, [16])
    [scored] = (tmp_path / "run" / "stages").glob("pictures-*")
    (scored / "00000.json").write_bytes(b"")  # as a power cut may leave it
    told = status(tmp_path / "run")
    assert [(line["stage"], line["parts"]) for line in told["stages"][1:3]] == [("picky", 6), ("pictures", 5)]
    assert sum(told["scores"][0]["measured"]) == 16
    for folder in (tmp_path / "run" / "stages").iterdir():
        for report in folder.glob("*.json"):
            report.unlink()
    assert read_scores(StoredRun(run, run.all_reports())) == []
    assert "clip_score" not in showtell("status", str(tmp_path / "run")).stdout


def test_damaged_part(tmp_path: Path) -> None:
    """The funnel is shown, then one line names the part that cannot be read."""
    write_source(tmp_path, CAPTIONS)
    run_inline(write_config(tmp_path, STAGES))
    [folder] = (tmp_path / "run" / "stages").glob("pictures-*")
    (folder / "00001.arrow").write_bytes(b"ARROW1")
    told = showtell("status", str(tmp_path / "run"))
    assert told.returncode == 1
    assert "23 samples" in told.stdout
    assert told.stderr.startswith(f"error: stages/{folder.name}: part 1 cannot be read: ")
    assert told.stderr.count("\n") == 1


SCORE = Score(
    "clip_score", [0, 1, 2, 3, 4], [1, 320, 160, 0], [0, 1, 0, 0], [-1.0, 2.5, 9.0],
    [WhatIf("a [b]", ">=", 2.5, 481, {2.0: 200, 2.5: 90, 3.0: 0})],
)


def test_histogram_of_characters() -> None:
    """The fullest bin is four characters high, one row alone still shows, and each threshold is marked in its place."""
    assert histogram_lines(SCORE) == [" █", " █", " ██", "▁██", "◀─▲▶ ▲ -1, 2.5, 9", "0  4"]
    assert histogram_lines(SCORE, is_ascii=True) == [" @", " @", " @@", ".@@", "<-^> ^ -1, 2.5, 9", "0  4"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_table_of_other_thresholds(encoding: str) -> None:
    """Every threshold has its count, its share and the difference, on any terminal."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    show_scores([SCORE], Console(file=out, width=80))
    out.flush()
    lines = out.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]
    assert "what a [b] would keep of 481 rows" in [line.strip() for line in lines]
    rows = [line.replace("|", " ").split() for line in lines]
    assert ["2", "200", "41.6%", "+110"] in rows
    assert ["2.5", "90", "18.7%", "as", "it", "is"] in rows
    assert ["3", "0", "0.0%", "-90"] in rows
