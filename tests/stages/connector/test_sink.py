from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_world import FinishedRun, draw, rows_about, save_dataset, save_language, sink

from pipeline.inline_runner import InlineRunner
from schemas.errors import FatalError
from schemas.storage import Storage
from stages.connector.model import answer, load
from stages.connector.report import summary

TINY_RECIPE = {"epochs": 1, "learning_rate": 1e-3, "batch": 64}


@pytest.fixture(scope="module")
def report(trained: Path) -> dict[str, Any]:
    return json.loads((trained / "report.json").read_text())


def test_trained_model_looks_at_the_picture(report: dict[str, Any]) -> None:
    """Where answers depend on the image, the right one helps, against every way of not seeing it."""
    loss = report["validation"]["loss"]
    assert set(loss["margin"]) == {"other", "blank", "none", "text_only"}
    assert all(margin["low"] > 0 for margin in loss["margin"].values())
    assert report["validation"]["ranking"]["accuracy"]["low"] > 0.25


def test_trained_model_counts_better_than_without_eyes(report: dict[str, Any]) -> None:
    """Its numbers are right more often than those of the same model trained on the text alone."""
    counting = report["validation"]["counting"]
    assert counting["score"]["right"]["value"] > 0.8
    assert counting["margin"]["text_only"]["low"] > 0
    assert counting["margin"]["other"]["low"] > 0


def test_written_model_answers(trained: Path) -> None:
    """What the sink wrote is loaded from its folder and answers about a picture it never saw."""
    model = load(str(trained))
    assert answer(model, draw("green", 3), "What colour is it?") == "It is green."


def test_report_accounts_for_rows_and_work(report: dict[str, Any]) -> None:
    """The report says what was learnt from, for how long, and how the loss went."""
    assert report["rows"]["train"]["used"] == 240
    assert report["rows"]["train"]["kinds"] == {"brief": 80, "conversation": 80, "counting": 80}
    assert report["rows"]["align"]["used"] == 80
    assert report["rows"]["validation"]["samples"] == 24
    instruct, text_only = report["stages"]["instruct"], report["stages"]["text_only"]
    assert (instruct["steps"], instruct["samples"]) == (text_only["steps"], text_only["samples"]) == (120, 1920)
    assert instruct["curve"][-1]["loss"] < instruct["curve"][0]["loss"]
    assert instruct["curve"][-1]["step"] == 120


def test_card_shows_the_table(trained: Path, report: dict[str, Any]) -> None:
    """The card's table holds every measure that the summary hands to the command line."""
    card = (trained / "README.md").read_text()
    figures = summary(report)
    for row in figures["table"]:
        assert " | ".join(row) in card
    assert len({len(row) for row in figures["table"]}) == 1
    assert figures["margin_95"][0] <= figures["margin"] <= figures["margin_95"][1]
    assert figures["trained_samples"] == 2000


def test_model_goes_to_an_object_store(vision: str, language: str, dataset: str) -> None:
    """Into a folder that is not local everything is uploaded, and the summary is read from there."""
    into = Storage("memory://bucket/model")
    small = {"align": TINY_RECIPE, "instruct": TINY_RECIPE, "baselines": False, "eval": {"questions": 4}}
    figures = sink(vision, language, **small).write(FinishedRun(dataset), into, InlineRunner())
    assert {"README.md", "config.json", "connector.safetensors", "language", "report.json", "vision"} <= set(
        into.names()
    )
    assert "config.json" in into.names("language")
    assert figures["loss_text_only"] is None
    assert figures["counting_text_only"] is None


def test_nothing_to_learn_from_is_fatal(vision: str, language: str, tmp_path: Path) -> None:
    """A dataset without images stops the run with one line that says why."""
    rows = [{**row, "images": []} for row in rows_about("a", "red", 1)]
    folder = save_dataset(tmp_path / "data", train=rows, validation=rows)
    with pytest.raises(FatalError, match=r"train split can be used by the connector: no_image 3"):
        sink(vision, language).write(FinishedRun(folder), Storage(str(tmp_path / "model")), InlineRunner())


def test_language_model_without_template_is_fatal(vision: str, dataset: str, tmp_path: Path) -> None:
    """A language model that was never taught to chat is named before any training."""
    mute = save_language(tmp_path / "mute", template=None)
    with pytest.raises(FatalError, match="has no chat template"):
        sink(vision, mute).write(FinishedRun(dataset), Storage(str(tmp_path / "model")), InlineRunner())


def test_importing_the_sink_loads_no_torch() -> None:
    """The command line can check a config without waiting for torch."""
    heavy = ("torch", "transformers", "datasets")
    code = f"import sys, stages.connector; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
