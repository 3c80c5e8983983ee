"""docs/selection.md: every example of it does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from pipeline.config import load_config
from pipeline.plan import make_plan
from schemas.errors import FatalError
from stages.filter import Filter, FilterConfig
from tests.pipeline.runs import ROOT

PAGE = (ROOT / "docs" / "selection.md").read_text()
CONFIGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def table(*header: str) -> list[list[str]]:
    """Return the rows of the page's table with this header, as they stand there."""
    lines = PAGE.split(f"| {' | '.join(header)} |\n", 1)[1].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines[: lines.index("")]]


def value(cell: str) -> Any:
    """Return what a cell of the samples means: JSON, else a text; nothing where it is empty."""
    try:
        return json.loads(cell) if cell else None
    except json.JSONDecodeError:
        return cell


COLUMNS = ("id", "clip_score", "width", "height", "license", "captions", "transcript")
ROWS = pa.Table.from_pylist(
    [dict(zip(COLUMNS, map(value, row), strict=True)) for row in table(*COLUMNS)],
).cast(pa.schema([
    ("id", pa.string()), ("clip_score", pa.float32()), ("width", pa.int32()), ("height", pa.int32()),
    ("license", pa.string()), ("captions", pa.list_(pa.string())), ("transcript", pa.string()),
]))


def kept(**settings: Any) -> list[str]:
    """Return the ids a filter keeps."""
    stage = Filter(FilterConfig.model_validate({"use": "filter", **settings}))
    if stage.surveys:
        stage.surveyed = stage.survey(ROWS.slice(row, 1) for row in range(ROWS.num_rows))
    reasons = stage.process(ROWS.select(sorted({"id", *stage.consumes.names})))["_reason"].to_pylist()
    return [row_id for row_id, reason in zip(ROWS["id"].to_pylist(), reasons, strict=True) if reason is None]


@pytest.mark.parametrize(("keep", "ids"), table("`keep:`", "keeps"))
def test_keep(keep: str, ids: str) -> None:
    """An expression keeps the samples named beside it."""
    assert ", ".join(kept(keep=keep.strip("`"))) == ids


@pytest.mark.parametrize(("top", "ids"), table("`keep_top:`", "keeps"))
def test_keep_top(top: str, ids: str) -> None:
    """A share keeps the samples named beside it."""
    assert ", ".join(kept(keep_top=yaml.safe_load(top.strip("`")))) == ids


@pytest.mark.parametrize(("keep", "said"), table("refused", "because"))
def test_refused(keep: str, said: str) -> None:
    """What is refused is refused with these words."""
    with pytest.raises((ValidationError, FatalError), match=re.escape(said)):
        kept(keep=keep.strip("`"))


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_configs(text: str, tmp_path: Path) -> None:
    """The stages of the page are a plan: every setting is known, every column is there."""
    read = yaml.safe_load(text)
    stages = read["stages"] if isinstance(read, dict) else [{"use": "download"}, *read]
    (tmp_path / "pairs.jsonl").write_text("")
    for folder in ("val2017", "textvqa/images"):
        (tmp_path / "benchmarks" / folder).mkdir(parents=True)
    (tmp_path / "benchmarks" / "textvqa" / "val.jsonl").write_text("")
    config = {"name": "page", "run_dir": "run", "source": {"kind": "table", "path": "pairs.jsonl"}, "stages": stages}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert len(make_plan(load_config(str(tmp_path / "config.yaml"))).steps) == len(stages)
