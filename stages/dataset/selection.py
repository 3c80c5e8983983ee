"""The card's sections on what was left out, and why."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import FatalError
from stages.base import RunView
from stages.dataset.markdown import ordered, table
from stages.dataset.truth import Against, against_truth, read_truth

__all__ = ["compare_with_truth", "consent", "duplicates", "funnel", "lost_rows", "truth", "truth_rows"]


def funnel(run: RunView) -> str:
    """Return rows in, kept and rejected by reason, of the source and each stage."""
    rows = [
        (stage, report.entered, report.kept,
         ", ".join(f"{reason} {count}" for reason, count in ordered(report.rejected)))
        for stage, report in run.reports().items()
    ]
    note = "Every source row is accounted for: kept, or rejected with a reason (`rejects.parquet` lists each)."
    if missing := lost_rows(run):
        note = f"{missing} source rows are in parts that could not be processed. Of the others: {note}"
    return f"## From source to dataset\n\n{table(['stage', 'rows in', 'kept', 'rejected'], rows)}\n{note}\n"


def lost_rows(run: RunView) -> int:
    """Return how many source rows are in parts that were given up."""
    finished = sum(run.table(part, ["id"], live=False).num_rows for part in run.parts())
    return run.reports()["source"].rows - int(finished)


def consent(run: RunView) -> str:
    """Return the verdicts of the hosts' rules on fetched URLs, where there are any."""
    if "consent" not in run.columns().names:
        return ""
    verdicts: Counter[tuple[str, str]] = Counter()
    for part in run.parts():
        flat = run.table(part, ["consent"], live=False)["consent"].combine_chunks().flatten()
        pairs = zip(flat.field("rule").to_pylist(), flat.field("allowed").to_pylist(), strict=True)
        verdicts.update((rule, "allowed" if allowed else "refused") for rule, allowed in pairs)
    reports = run.reports().values()
    refused = {reason: sum(report.rejected.get(reason, 0) for report in reports) for reason in ("robots", "opted_out")}
    counts = [(rule, verdict, count) for (rule, verdict), count in sorted(verdicts.items())]
    listed = table(["rule", "verdict", "URLs"], counts) if counts else "No host was asked.\n"
    return f"""## Consent

What hosts say about the use of their files, of every URL that was fetched. {refused['robots']} samples were
rejected for `robots.txt` (`robots`), {refused['opted_out']} for X-Robots-Tag or TDMRep (`opted_out`).

{listed}"""


def duplicates(run: RunView) -> str:
    """Return duplicates and contamination found, by the steps that look for them."""
    used = {step["use"] for step in run.steps()}
    reasons: Counter[str] = Counter()
    for report in run.reports().values():
        reasons.update(report.rejected)
    found = [(reason, count) for reason, count in ordered(reasons) if reason.startswith("duplicate_")]
    found += [("contaminated", reasons["contaminated"])] if "decontaminate" in used else []
    if not used & {"dedupe", "decontaminate"}:
        return ""
    listed = table(["reason", "samples rejected"], found) if found else "No duplicate was rejected.\n"
    return f"## Duplicates and contamination\n\n{listed}{_clusters(run)}"


def _clusters(run: RunView) -> str:
    if "duplicate_cluster" not in run.columns().names:
        return ""
    others = 0
    for part in run.parts():
        rows = run.table(part, ["id", "duplicate_cluster"])
        others += pc.sum(pc.not_equal(rows["id"], rows["duplicate_cluster"])).as_py() or 0
    return f"""
{others} samples of the dataset have a likeness that comes before them in the source. Samples that are alike
(`duplicate_cluster`) are in one split together.
"""


def compare_with_truth(truth_file: str | None, rejects: pa.Table) -> list[Against]:
    """Return what the stages did about planted trouble; raises FatalError where the file cannot be read."""
    if truth_file is None:
        return []
    rows = zip(*(rejects[name].to_pylist() for name in ("id", "stage", "reason")), strict=True)
    try:
        return against_truth(read_truth(truth_file), rows)
    except (OSError, ValueError) as error:
        raise FatalError(f"truth = {truth_file}: {error}") from error


def truth(against: list[Against]) -> str:
    """Return planted trouble and what was caught of it."""
    if not against:
        return ""
    header, *rows = truth_rows(against)
    return f"""## Against planted trouble

The source held trouble planted on purpose; this is what the stages did about it. Precision is the share of a
row's rejects that were planted trouble of any kind.

{table(header, rows)}"""


def truth_rows(against: list[Against]) -> list[list[str]]:
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
