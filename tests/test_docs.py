"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.reference import reference
from tests.pipeline.runs import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sample/*.md"), *ROOT.glob("deploy/*.md")])


def test_reference_is_current() -> None:
    """docs/stages.md is what `make docs` writes today."""
    assert (ROOT / "docs" / "stages.md").read_text() == reference()


def test_every_setting_of_every_stage_is_described() -> None:
    """No row of the reference lacks its meaning."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
