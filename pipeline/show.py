"""What the commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.execute import Result
    from pipeline.funnel import Funnel, FunnelStage
    from pipeline.lint.problems import Report
    from pipeline.story import Chapter

__all__ = ["amounts", "console", "print_json", "show_end", "show_funnel", "show_report", "show_story"]

LOG_WIDTH = 132
"""Columns of a table that goes to a file or a pipe, in characters."""

console = Console()
if not console.is_terminal:
    console = Console(width=LOG_WIDTH)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def show_funnel(funnel: Funnel) -> None:
    """Print the funnel as a table."""
    table = Table("stage", "parts", "rows in", "kept", "rejected", "seconds", "counted", title=f"{funnel.rows} samples")
    table.columns[4].overflow = table.columns[6].overflow = "fold"
    for column in (1, 2, 3, 5):
        table.columns[column].justify = "right"
    for line in funnel.stages:
        table.add_row(
            line.stage, f"{line.parts}/{funnel.parts}", str(line.entered), str(line.kept),
            _counts(line.rejected), f"{line.seconds:.1f}", _metrics(line),
        )
    console.print(table)
    for line in funnel.stages:
        for error in line.given_up.values():
            console.print(f"given up: {line.stage}: {error}", markup=False)
    for name, paid in funnel.paid.items():
        console.print(f"paid so far: {name}: {amounts(paid)}", markup=False, highlight=False)
    if funnel.paused:
        console.print(f"paused: {funnel.paused}", markup=False, soft_wrap=True)
    for name, summary in funnel.sinks.items():
        _show_sink(name, summary)


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)


def amounts(counted: Mapping[str, float]) -> str:
    """Return numbers with what they count, as people read them."""
    return ", ".join(f"{_number(amount)} {name.replace('_', ' ')}" for name, amount in counted.items())


def _metrics(line: FunnelStage) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in sorted(line.metrics.items()) if value)


def _show_sink(name: str, summary: Mapping[str, Any]) -> None:
    """Print what a sink made: its numbers, and its table if it has one (header first)."""
    plain = ", ".join(f"{key} {_number(value)}" for key, value in summary.items() if key != "table")
    console.print(f"{name}: {plain}", markup=False, highlight=False)
    if rows := summary.get("table"):
        table = Table(*(str(cell) for cell in rows[0]))
        for row in rows[1:]:
            table.add_row(*(escape(_number(cell)) for cell in row))
        console.print(table)


def _number(value: Any) -> str:
    """Return a number as people read it: whole numbers in full, others to four digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(_number, value))}]"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)


def show_end(result: Result) -> None:
    """Print where the results are."""
    storage = result.view.run.storage
    for planned in result.view.plan.steps:
        output = getattr(planned.step, "output", None)
        if output and storage.exists(f"{output}/README.md"):
            label = "dataset card" if output == "dataset" else f"{output} report"
            console.print(f"{label}: {storage.path(output)}/README.md", markup=False, soft_wrap=True)


def show_story(sample_id: str, chapters: Sequence[Chapter]) -> None:
    """Print a sample's story, a stage at a time."""
    console.print(f"sample {sample_id}", style="bold", markup=False)
    for chapter in chapters:
        verdict = f"{chapter['state']} {chapter.get('reason') or ''}".strip()
        detail = f": {chapter['detail']}" if chapter.get("detail") else ""
        console.print(f"{chapter['stage']}: {verdict}{detail}", style="bold", markup=False, soft_wrap=True)
        if chapter["state"] != "not reached":
            _show_chapter(chapter)


def _show_chapter(chapter: Chapter) -> None:
    if chapter.get("meaning"):
        _line(f"  {chapter['reason']}: {chapter['meaning']}")
    for name, value in chapter.get("settings", {}).items():
        _line(f"  {name} = {_text(value)}")
    for name, value in chapter.get("rule", {}).items():
        _line(f"  compared: {name} = {_text(value)}")
    for fetch in chapter.get("fetches", ()):
        known = [f"{name} {fetch[name]}" for name in ("status", "kept_bytes", "sha256") if fetch[name] is not None]
        _line(f"  fetched {fetch['media']}: {fetch['url']} {', '.join(known)}")
    for name, value in chapter.get("values", {}).items():
        if value is not None:
            _line(f"  {name}: {_text(value)}")
    for number, exchange in enumerate(chapter.get("exchanges", ()), 1):
        _show_exchange(number, exchange)
    for row in chapter.get("rows", ()):
        _line(f"  dataset/{row['file']} row {row['row']}: {row['kind']}")
    if missing := chapter.get("exchanges_missing"):
        _line(f"  {missing}")


def _show_exchange(number: int, exchange: Mapping[str, Any]) -> None:
    _line(f"  request {number}: {exchange['kind']}{', with the image' if exchange['has_image'] else ''}")
    for message in exchange["messages"]:
        _line(f"    {message['role']}:")
        _line("\n".join(f"      {line}" for line in message["content"].splitlines()))
    if "reply" not in exchange:
        _line("  no reply: the log holds none to exactly this request")
        return
    cost = f"{exchange['input_tokens']} + {exchange['output_tokens']} tokens, {exchange['usd']:.6f} usd"
    _line(f"  reply {number} ({exchange['finish_reason']}, {cost}):")
    _line("\n".join(f"      {line}" for line in exchange["reply"].splitlines()))


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def show_report(report: Report) -> None:
    """Print what lint found, a line a problem, and what it has seen."""
    for problem in report.problems:
        print(problem)
    rows = ", ".join(f"{split} {count} rows" for split, count in report.rows.items())
    errors = sum(problem.severity == "error" for problem in report.problems)
    seen = f"{rows}; {report.images} images, {report.recordings} recordings decoded"
    found = f"{report.findings.total()} findings told; " if report.findings else ""
    print(f"{seen}; {found}{errors} errors, {len(report.problems) - errors} warnings")
