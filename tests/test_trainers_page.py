"""docs/trainers.md: every command and every five lines run as they stand there."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trl import SFTConfig

from tests.pipeline.export.finished import row, saved
from tests.pipeline.export.tiny_llava import tiny_llava, tiny_processor
from tests.pipeline.runs import ROOT, showtell

PAGE = (ROOT / "docs" / "trainers.md").read_text()

BLOCK = re.compile(r"(?:<!-- needs (\S+) -->\n)?```(python|sh)\n(.*?)```", re.DOTALL)

BLOCKS = {
    section.splitlines()[0]: BLOCK.findall(section) for section in PAGE.split("\n## ")[1:] if "```" in section
}


def test_every_format_is_shown() -> None:
    """Each format has its command, and no loading takes more than five lines."""
    commands = [text for blocks in BLOCKS.values() for _, language, text in blocks if language == "sh"]
    shown = set(re.findall(r"--format (\w+)", "".join(commands)))
    assert shown == {"trl", "llava", "llama_factory", "webdataset", "parquet"}
    lines = [text.splitlines() for blocks in BLOCKS.values() for _, language, text in blocks if language == "python"]
    assert len(lines) == 7
    assert all(len(block) <= 5 for block in lines)


@pytest.mark.parametrize("section", BLOCKS)
def test_section_runs(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section's commands and lines, one after the other, in a folder with a run of nine rows."""
    rows = [row(number) for number in range(9)]
    saved(tmp_path / "runs" / "boats" / "dataset", {"train": rows, "validation": [row(9)]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    processor = tiny_processor()
    settings = SFTConfig(
        output_dir="trained", max_steps=2, report_to=[], use_cpu=True, bf16=False, max_length=None,
        save_strategy="no", disable_tqdm=True,
    )
    ran = 0
    for needs, language, text in BLOCKS[section]:
        if language == "sh":
            commanded(text)
            ran += 1
        elif not needs or find_spec(needs.split(".")[0]):
            names: dict[str, Any] = {"model": tiny_llava(processor), "processor": processor, "settings": settings}
            exec(compile(text, f"docs/trainers.md, {section}", "exec"), names)
            shows(names, section)
            ran += 1
    assert ran, "no block of the section was run"


def commanded(text: str) -> None:
    """Run a block of showtell's commands."""
    for line in text.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "showtell"
        ended = showtell(*arguments)
        assert ended.returncode == 0, ended.stderr


def shows(names: dict[str, Any], section: str) -> None:
    """Check what the lines of a section have come to."""
    if "trainer" in names:
        assert names["trainer"].state.global_step == 2
    if "image" in names:
        assert isinstance(names["image"], Image.Image)
        assert names["image"].size == (12, 12)
    if "messages" in names:
        assert [turn["role"] for turn in names["messages"]] == ["user", "assistant"]
        assert "What is number 0?" in names["messages"][0]["content"]
    if section == "LLaVA":
        assert names["question"] == "<image>\nWhat is number 0?"
        assert len(names["rows"]) == 9
    if section.startswith("webdataset") and "sample" in names:
        assert names["sample"]["jpg"].size == (12, 12)
        assert names["sample"]["json"]["messages"][0]["content"].startswith("What is number")
