"""The dataset card, written from what was measured in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from stages.dataset.markdown import escape, shortened, table
from stages.dataset.rows import MEANINGS
from stages.dataset.scores import scores
from stages.dataset.selection import compare_with_truth, consent, duplicates, funnel, truth, truth_rows

__all__ = ["BEGIN", "CARD", "END", "with_validation", "write_card"]

CARD = "README.md"
BEGIN, END = "<!-- validation: begin -->\n", "<!-- validation: end -->\n"
"""Between these the card tells what was learnt from the dataset after it was written; ``escape`` lets no text from the
web hold them."""
MOST_PATHS = 3
"""Of the source, named in the introduction."""
NOT_VALIDATED = "## What a model learnt from it\n\nNo model has been trained on it yet.\n"


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
        examples(folder, census),
        funnel(run),
        scores(folder, run),
        duplicates(run),
        consent(run),
        truth(against),
        contents(folder, census),
        bias(census),
        f"{BEGIN}{NOT_VALIDATED}{END}",
        limits(run, census),
        making(run),
        cost(run),
    ]
    (folder / CARD).write_text("\n".join(section for section in sections if section), encoding="utf-8")
    write_croissant(folder, run.name, census, format_)
    summary: dict[str, Any] = {f"{split} rows": rows for split, rows in sorted(census.rows.items())}
    summary |= {"samples": census.samples.total(), "rejected": rejects.num_rows}
    return summary | ({"table": truth_rows(against)} if against else {})


def with_validation(card: str, sections: Sequence[str]) -> str:
    """Return a card with what later steps found out about the dataset.

    Args:
        card: as ``write_card`` writes it; one without the place for these sections comes back as it is.
        sections: Markdown, each with its heading.
    """
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{chr(10).join(sections)}{end}{after}" if end else card


def _introduction(run: RunView, census: Census, format_: FileFormat) -> str:
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items())
    splits = table(
        ["split", "conversations", "samples"],
        [(split, rows, census.samples[split]) for split, rows in census.rows.items()],
    )
    source = run.config()["source"]
    paths = source["path"] if isinstance(source["path"], list) else [source["path"]]
    told = ", ".join(escape(shortened(path)) for path in paths[:MOST_PATHS]) + (" ..." if paths[MOST_PATHS:] else "")
    rows = run.reports()["source"].rows
    share = f"{census.samples.total() / max(1, rows):.0%}"
    return f"""# {escape(run.name)}

{census.rows.total()} conversations about {census.samples.total()} samples, to train models that see and talk. They
were made by Showtell from {rows} rows of {told}, of which {share} were kept.

{LOAD_ARROW if format_ == "arrow" else LOAD_PARQUET}

{splits}
### Columns

One row is one conversation, with what it was made from:

| column | what it holds |
| --- | --- |
{columns}
"""
