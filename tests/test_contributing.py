"""The worked example of CONTRIBUTING.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from datasets import load_from_disk

from tests.pipeline.runs import ROOT, run_inline, write_source

EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def test_worked_example_adds_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage and the config of the guide, copied into two files, run to a dataset."""
    examples = dict(EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text()))
    assert set(examples) == {"wordy.py", "wordy.yaml"}
    for name, text in examples.items():
        (tmp_path / name).write_text(text)
    write_source(tmp_path, ["a red boat at sea", "a boat", "two houses and a tree"])
    monkeypatch.syspath_prepend(str(tmp_path))
    result, _ = run_inline(tmp_path / "wordy.yaml", "wordy.min_words=4")
    report = result.view.reports()["wordy"]
    assert (report.kept, report.rejected) == (2, {"too_few_words": 1})
    dataset = load_from_disk(str(tmp_path / "runs" / "wordy" / "dataset"))
    assert {row_id for split in dataset.values() for row_id in split["id"]} == {"s0", "s2"}
