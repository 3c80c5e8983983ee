"""The dataset card, written from what was measured in the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.configs import LOAD_ARROW, LOAD_PARQUET
from stages.dataset.contents import bias, contents, examples
from stages.dataset.croissant import write_croissant
from stages.dataset.files import FileFormat
from stages.dataset.front_matter import front_matter
from stages.dataset.making import cost, limits, making
from stages.dataset.markdown import escape, table
from stages.dataset.scores import scores
from stages.dataset.selection import compare_with_truth, consent, duplicates, funnel, truth, truth_rows

__all__ = ["write_card"]


def write_card(
    folder: Path, run: RunView, census: Census, rejects: pa.Table, truth_file: str | None, format_: FileFormat
) -> Mapping[str, Any]:
    """Write ``README.md``, its pictures and ``croissant.json`` into the dataset's folder.

    Args:
        folder: the dataset's folder, with the shards.
        run: the run the dataset comes from.
        census: counts of the dataset.
        rejects: every rejected row (``id, url, stage, reason, detail``).
        truth_file: JSON lines of planted trouble, or None.
        format_: of the shards.

    Returns:
        The summary for ``showtell status``.
    """
    against = compare_with_truth(truth_file, rejects)
    sections = [
        front_matter(run, census, format_),
        _introduction(run, census, format_),
        funnel(run),
        scores(folder, run),
        duplicates(run),
        consent(run),
        truth(against),
        contents(folder, census),
        examples(folder, census),
        bias(census),
        limits(run, census),
        making(run),
        cost(run),
    ]
    (folder / "README.md").write_text("\n".join(section for section in sections if section), encoding="utf-8")
    write_croissant(folder, run.name, census, format_)
    summary: dict[str, Any] = {f"{split} rows": rows for split, rows in sorted(census.rows.items())}
    summary |= {"samples": census.samples.total(), "rejected": rejects.num_rows}
    return summary | ({"table": truth_rows(against)} if against else {})


def _introduction(run: RunView, census: Census, format_: FileFormat) -> str:
    splits = table(
        ["split", "conversations", "samples"],
        [(split, rows, census.samples[split]) for split, rows in census.rows.items()],
    )
    return f"""# {escape(run.name)}

{census.rows.total()} conversations about {census.samples.total()} samples, built by Showtell. One row is one
conversation: `images`, `messages` (user and assistant in turn, plain text), and what they were made from.

{LOAD_ARROW if format_ == "arrow" else LOAD_PARQUET}

{splits}"""
