from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from pipeline.progress import Bars, Lines, row_progress, watcher_for
from pipeline.worker import Outcome
from schemas.report import PartReport


def run_shown(terminal: bool) -> str:
    """Show a run of two parts, one of which is given up, and of a sink; return what is left on the screen."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100, color_system=None)
    watcher = watcher_for(console)
    assert isinstance(watcher, Bars if terminal else Lines)
    watcher.begin(["download"], 2)
    watcher.done(Outcome("download", 0, PartReport(rows=8, entered=8, kept=5)))
    watcher.done(Outcome("download", 1, None, "part 1: [red] OSError: disk full"))
    watcher.sink("connector")
    watcher.sink_told("connector", "align: step 1 of 2")
    watcher.sink_done("connector")
    watcher.close()
    return screen.getvalue()


def test_lines_for_logs() -> None:
    """Without a terminal there is one plain line for what happened, with no control characters."""
    assert run_shown(terminal=False).splitlines() == [
        "download: gave up part 1: [red] OSError: disk full",
        "download: 2/2 parts, kept 5 of 8 rows",
        "connector: writing",
        "connector: align: step 1 of 2",
        "connector: written",
    ]


def test_bars_on_a_terminal() -> None:
    """On a terminal each stage and sink has a bar that ends full, and what was given up stays above."""
    screen = run_shown(terminal=True)
    assert "gave up part 1: [red] OSError: disk full" in screen
    final = screen.split("\x1b[2K")[-2:]
    assert re.search(r"download .*2/2 kept 5 of 8", "".join(final))
    assert re.search(r"connector .*1/1 written", "".join(final))


def rows_shown(terminal: bool) -> str:
    """Show three of four rows done, then all; return what is left on the screen."""
    screen = io.StringIO()
    with row_progress("llava", Console(file=screen, force_terminal=terminal, width=100, color_system=None)) as progress:
        progress(3, 4)
        progress(4, 4)
    return screen.getvalue()


def test_rows_on_a_terminal_are_a_bar() -> None:
    """It ends full."""
    assert re.search(r"llava .*4/4", rows_shown(terminal=True))


def test_rows_in_a_log_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plain line every few seconds, none where all is quick."""
    assert rows_shown(terminal=False) == ""
    monkeypatch.setattr("pipeline.progress.LINE_EVERY_S", -1.0)
    assert rows_shown(terminal=False).splitlines() == ["llava: 3/4 rows", "llava: 4/4 rows"]
