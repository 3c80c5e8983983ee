"""The dataset card, written from what was measured in the run."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from schemas.errors import FatalError
from stages.base import RunView
from stages.dataset.census import Census
from stages.dataset.truth import Against, against_truth, read_truth

__all__ = ["write_card"]

HUB_LICENSES = {
    "cc-by-4.0", "cc-by-2.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0", "cc0-1.0", "mit",
    "apache-2.0",
}
SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M")]
LONGEST_LIST = 20


def write_card(
    folder: Path, run: RunView, census: Census, rejects: pa.Table, truth_file: str | None
) -> Mapping[str, Any]:
    """Write ``README.md`` and its pictures into the dataset's folder.

    Args:
        folder: the dataset's folder.
        run: the run the dataset comes from.
        census: counts of the dataset.
        rejects: every rejected row (``id, url, stage, reason, detail``).
        truth_file: JSON lines of planted trouble, or None.

    Returns:
        The summary for ``showtell status``.
    """
    against = _against(truth_file, rejects)
    sections = [
        _front_matter(run, census),
        _introduction(run, census),
        _funnel(run),
        _scores(folder, run),
        _truth(against),
        _contents(census),
        _examples(folder, census),
        _making(run),
        _limits(),
    ]
    (folder / "README.md").write_text("\n".join(section for section in sections if section), encoding="utf-8")
    summary: dict[str, Any] = {f"{split} rows": rows for split, rows in sorted(census.rows.items())}
    summary |= {"samples": census.samples.total(), "rejected": rejects.num_rows}
    return summary | ({"table": _truth_rows(against)} if against else {})


def escape(text: Any) -> str:
    """Return text from the web so that no Markdown or HTML in it has any effect, on one line."""
    flat = re.sub(r"[\s\x00-\x1f\x7f]+", " ", str(text)).strip()
    return re.sub(r"([\\`*_\[\]|~$]|(?<=:)/(?=/)|(?<=www)\.)", r"\\\1", html.escape(flat, quote=False))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; cells are escaped."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _front_matter(run: RunView, census: Census) -> str:
    licenses = {name.lower() for name in census.licenses}
    one = next(iter(licenses)) if len(licenses) == 1 else ""
    data = {
        "pretty_name": run.name,
        "license": one if one in HUB_LICENSES else "other",
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "size_categories": [next((name for limit, name in SIZES if census.rows.total() < limit), "10M<n<100M")],
        "tags": ["showtell", "multimodal", "instruction-tuning"],
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False)}---\n"


def _introduction(run: RunView, census: Census) -> str:
    splits = table(
        ["split", "conversations", "samples"],
        [(split, rows, census.samples[split]) for split, rows in census.rows.items()],
    )
    return f"""# {escape(run.name)}

{census.rows.total()} conversations about {census.samples.total()} samples, built by Showtell. One row is one
conversation: `images`, `messages` (user and assistant in turn, plain text), and what they were made from.

```python
from datasets import load_from_disk
dataset = load_from_disk("dataset")  # this folder
```

{splits}"""


def _funnel(run: RunView) -> str:
    rows = []
    reports = run.reports()
    for stage, report in reports.items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in _ordered(report.rejected))
        rows.append((stage, report.entered, report.kept, reasons))
    missing = reports["source"].rows - sum(run.table(part, ["id"], live=False).num_rows for part in run.parts())
    note = "Every source row is accounted for: kept, or rejected with a reason (`rejects.parquet` lists each)."
    if missing:
        note = f"{missing} source rows are in parts that could not be processed. Of the others: {note}"
    return f"## From source to dataset\n\n{table(['stage', 'rows in', 'kept', 'rejected'], rows)}\n{note}\n"


def _scores(folder: Path, run: RunView) -> str:
    if "clip_score" not in run.columns().names:
        return ""
    from stages.dataset.plots import plot_scores

    scores = [score for part in run.parts() for score in _column(run, part, live=False)]
    kept = [score for part in run.parts() for score in _column(run, part, live=True)]
    if not scores:
        return ""
    plot_scores(scores, kept, folder / "clip_scores.png")
    return "## CLIP scores\n\n![Histogram of CLIP scores, scored and kept](clip_scores.png)\n"


def _column(run: RunView, part: int, *, live: bool) -> list[float]:
    return run.table(part, ["clip_score"], live=live)["clip_score"].drop_null().to_pylist()  # type: ignore[no-any-return]


def _against(truth_file: str | None, rejects: pa.Table) -> list[Against]:
    if truth_file is None:
        return []
    rows = zip(*(rejects[name].to_pylist() for name in ("id", "stage", "reason")), strict=True)
    try:
        return against_truth(read_truth(truth_file), rows)
    except (OSError, ValueError) as error:
        raise FatalError(f"truth = {truth_file}: {error}") from error


def _truth(against: list[Against]) -> str:
    if not against:
        return ""
    header, *rows = _truth_rows(against)
    return f"""## Against planted trouble

The source held trouble planted on purpose; this is what the stages did about it. Precision is the share of a
row's rejects that were planted trouble of any kind.

{table(header, rows)}"""


def _truth_rows(against: list[Against]) -> list[list[str]]:
    """Return a header and one row per trouble: its recall; then each reason's precision."""
    rejected: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    for entry in against:
        rejected.update(entry.reasons)
        planted.update({} if entry.trouble == "sound" else entry.reasons)
    rows = [["planted trouble", "rows", "rejected", "recall", "by (precision of that reason)"]]
    for entry in against:
        by = ", ".join(f"{reason} {count} ({planted[reason] / rejected[reason]:.2f})"
                       for reason, count in entry.reasons.items())
        recall = "" if entry.trouble == "sound" else f"{entry.recall:.2f}"
        rows.append([entry.trouble, str(entry.planted), str(entry.rejected), recall, by])
    return rows


def _contents(census: Census) -> str:
    kinds = table(
        ["kind", "conversations", "turns", "words an answer"],
        [(kind, count, census.turns[kind], f"{census.answer_words[kind] / max(1, census.turns[kind]):.1f}")
         for kind, count in _ordered(census.kinds)],
    )
    parts = [
        ("Written by", ["by", "conversations"], census.provenance),
        ("Licences", ["licence", "samples"], census.licenses),
        ("Hosts", ["host", "samples"], census.hosts),
        ("Objects", ["label", "boxes"], census.labels),
        ("Findings", ["type", "findings"], census.findings),
    ]
    listed = "\n".join(f"### {title}\n\n{_counts(header, counts)}" for title, header, counts in parts if counts)
    spoken = f"{census.transcribed} samples have a transcript.\n\n" if census.transcribed else ""
    checked = (
        f"{census.checked} conversations were checked against captions, boxes and transcript before they were kept; "
        f"{census.doubted} of them have findings, told in the column `findings`.\n\n" if census.checked else ""
    )
    return f"## What is in it\n\n{spoken}{checked}### Kinds\n\n{kinds}\n{listed}"


def _counts(header: Sequence[str], counts: Counter[str]) -> str:
    shown = _ordered(counts)[:LONGEST_LIST]
    more = len(counts) - len(shown)
    return table(header, shown) + (f"\n... and {more} more.\n" if more else "")


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _examples(folder: Path, census: Census) -> str:
    if not census.examples:
        return ""
    (folder / "examples").mkdir()
    return "## Examples\n\n" + "\n".join(
        _example(folder, index, rows) for index, rows in enumerate(census.examples)
    )


def _example(folder: Path, index: int, rows: Sequence[Mapping[str, Any]]) -> str:
    name = f"examples/{index}.png"
    _thumbnail(rows[0]["images"][0]["bytes"], folder / name)
    lines = [f"### {escape(rows[0]['id'])}\n\n![sample {escape(rows[0]['id'])}]({name})\n"]
    for row in rows:
        lines.append(f"**{escape(row['kind'])}** ({escape(row['provenance'])})\n")
        lines += [f"> {message['role']}: {escape(message['content'])}\n>" for message in row["messages"]]
        lines[-1] = lines[-1].removesuffix("\n>") + "\n"
    return "\n".join(lines)


def _thumbnail(image: bytes, file: Path) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((256, 256))
        small.save(file)


def _making(run: RunView) -> str:
    rows = [
        (step["name"], step["use"], step["version"], step["fingerprint"][:12],
         ", ".join(f"{key}={value}" for key, value in step["settings"].items()))
        for step in run.steps()
    ]
    header = ["step", "stage", "version", "fingerprint", "settings"]
    return f"## How it was made\n\nSeed {run.seed}. The steps, in order:\n\n{table(header, rows)}"


def _limits() -> str:
    return """## Known limits

Captions and web pages are other people's: check the licences above before you publish. Conversations written by
a model can state what the picture does not show. Near-duplicates of a sample are not yet kept in one split.
"""
