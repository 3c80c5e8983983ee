"""The default run, whole: what the README promises of `make demo`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk

from pipeline.lint.run import lint
from tests.pipeline.runs import ROOT, showtell, status

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once and return its run directory."""
    run_dir = tmp_path_factory.mktemp("demo") / "run"
    done = subprocess.run(
        [sys.executable, "-m", "sample.demo", "pipeline.yaml", "--run-dir", str(run_dir)],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert f"{run_dir}/dataset/README.md" in done.stdout, "it says where the card is"
    return run_dir


@pytest.fixture(scope="module")
def funnel(demo: Path) -> dict[str, Any]:
    """Return the run's funnel."""
    funnel: dict[str, Any] = status(demo)
    return funnel


def test_every_row_is_accounted_for(funnel: dict[str, Any]) -> None:
    """At every stage rows in are rows kept and rejected, and what one keeps the next one gets."""
    assert funnel["rows"] == 300
    entered = 300
    for stage in funnel["stages"]:
        assert stage["entered"] == entered
        assert stage["entered"] == stage["kept"] + sum(stage["rejected"].values())
        entered = stage["kept"]
    assert entered > 200


def test_planted_trouble_is_caught(funnel: dict[str, Any]) -> None:
    """Every unusable link is rejected; the CLIP filter finds wrong captions and spares right ones, `dedupe` finds every
    second picture and no other."""
    rows = {row[0]: row for row in funnel["sinks"]["shards"]["table"][1:]}
    for trouble in ("dead_link", "html_page", "opted_out", "slow_host", "truncated_image"):
        assert rows[trouble][3] == "1.00", f"every {trouble} is rejected"
    assert float(rows["mismatched_caption"][3]) >= 0.9
    assert _precision(rows["mismatched_caption"][4], "filter: filtered") >= 0.9
    assert (rows["duplicate"][3], _precision(rows["duplicate"][4], "dedupe: duplicate_near")) == ("1.00", 1)
    assert int(rows["sound"][2]) <= 0.05 * int(rows["sound"][1])


def _precision(by: str, reason: str) -> float:
    """Return what stands in brackets behind a reason and its count."""
    found = re.search(rf"{reason} \d+ \((\d\.\d\d)\)", by)
    assert found, by
    return float(found[1])


def test_dataset_is_sound(demo: Path) -> None:
    """`lint` finds no error: no sample and no duplicate is in two splits, every file and picture is whole."""
    report = lint(str(demo / "dataset"))
    assert report.sound, [str(problem) for problem in report.problems]


def test_status_and_card_tell_what_other_thresholds_keep(demo: Path, funnel: dict[str, Any]) -> None:
    """Both have the same counts for both columns the filter compares, of all pictures that came."""
    clip, width = funnel["scores"]
    assert (clip["column"], clip["lines"], width["column"], width["lines"]) == ("clip_score", [0.12], "width", [64.0])
    filtered = next(stage for stage in funnel["stages"] if stage["stage"] == "filter")
    assert sum(clip["measured"]) == clip["what_ifs"][0]["entered"] == filtered["entered"]
    assert {"threshold": 0.12, "kept": filtered["kept"]} in clip["what_ifs"][0]["kept"]
    card = (demo / "dataset" / "README.md").read_text()
    for tried in clip["what_ifs"][0]["kept"]:
        assert f"| &gt;= {tried['threshold']:.6g} | {tried['kept']} |" in card


def test_dataset_has_every_kind(demo: Path) -> None:
    """Conversations of the LLM and of the templates are in both splits, in the form trainers take."""
    dataset = load_from_disk(str(demo / "dataset"))
    for split in ("train", "validation"):
        rows = dataset[split]
        assert set(rows["kind"]) == {"conversation", "detail", "brief", "counting", "pointing"}
    for row in dataset["validation"]:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2)
        assert len(row["images"]) == 1
    assert sum(transcript is not None for transcript in dataset["train"]["transcript"]) > 20


def test_connector_looks_at_the_picture(demo: Path) -> None:
    """Held-out answers are likelier with the right image than with another, and than to the text-only model."""
    margin = json.loads((demo / "model" / "report.json").read_text())["validation"]["loss"]["margin"]
    assert margin["other"]["low"] > 0
    assert margin["text_only"]["low"] > 0


@pytest.mark.xfail(reason="not reached yet: the starter CLIP's patches and 200 pictures do not teach counting")
def test_connector_counts_better_than_text_alone(demo: Path) -> None:
    """Exact counts of held-out pictures are right more often than those of the text-only model."""
    counting = json.loads((demo / "model" / "report.json").read_text())["validation"]["counting"]
    assert counting["margin"]["text_only"]["low"] > 0


def test_card_shows_funnel_truth_and_pictures(demo: Path) -> None:
    """The card has its sections, and every picture it shows is there."""
    card = (demo / "dataset" / "README.md").read_text()
    for heading in ("From source to dataset", "CLIP scores", "Against planted trouble", "Examples", "How it was made"):
        assert f"## {heading}" in card
    pictures = [line.split("](")[1].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert len(pictures) > 3
    assert all((demo / "dataset" / picture).stat().st_size > 1000 for picture in pictures)


def test_why_tells_a_rejected_sample(demo: Path) -> None:
    """`why` names the stage and the reason of a planted dead link."""
    truth = [json.loads(line) for line in (ROOT / "sample" / "truth.jsonl").read_text().splitlines()]
    dead = next(row["id"] for row in truth if row["trouble"] == "dead_link")
    told = showtell("why", str(demo), dead).stdout
    assert "download: rejected" in told
    assert "converse: not reached" in told
