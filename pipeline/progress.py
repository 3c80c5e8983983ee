"""How a run is shown while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.worker import Outcome

__all__ = ["Bars", "Lines", "row_progress", "watcher_for"]

LINE_EVERY_S = 5.0


class Lines:
    """One plain line when a stage ends, and one every few seconds of a long stage; for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.parts = 0
        self.finished: dict[str, int] = {}
        self.rows: dict[str, tuple[int, int]] = {}
        self.last = time.monotonic()

    def begin(self, names: Sequence[str], parts: int) -> None:
        """A segment of stages begins."""
        self.parts = parts
        self.finished |= dict.fromkeys(names, 0)
        self.rows |= dict.fromkeys(names, (0, 0))

    def done(self, outcome: Outcome) -> None:
        """A stage has finished a part, or given it up."""
        name = outcome.stage
        self.finished[name] += 1
        if outcome.report is None:
            self.console.print(f"{name}: gave up {outcome.error}", markup=False, highlight=False)
        else:
            entered, kept = self.rows[name]
            self.rows[name] = (entered + outcome.report.entered, kept + outcome.report.kept)
        if self.finished[name] == self.parts or time.monotonic() - self.last > LINE_EVERY_S:
            self.last = time.monotonic()
            entered, kept = self.rows[name]
            line = f"{name}: {self.finished[name]}/{self.parts} parts, kept {kept} of {entered} rows"
            self.console.print(line, markup=False, highlight=False)

    def sink(self, name: str) -> None:
        """A sink begins."""
        self.console.print(f"{name}: writing", markup=False, highlight=False)

    def sink_told(self, name: str, line: str) -> None:
        """A sink says how far it is."""
        self.console.print(f"{name}: {line}", markup=False, highlight=False)

    def sink_done(self, name: str) -> None:
        """A sink has written all it writes."""
        self.console.print(f"{name}: written", markup=False, highlight=False)

    def close(self) -> None:
        """Nothing to take down."""


class Bars:
    """One bar a stage."""

    def __init__(self, console: Console) -> None:
        self.bars = Progress(
            TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[kept]}"),
            TimeElapsedColumn(), console=console,
        )
        self.tasks: dict[str, TaskID] = {}
        self.rows: dict[str, tuple[int, int]] = {}
        self.bars.start()

    def begin(self, names: Sequence[str], parts: int) -> None:
        """A segment of stages begins."""
        for name in names:
            self.tasks[name] = self.bars.add_task(name, total=parts, kept="")
            self.rows[name] = (0, 0)

    def done(self, outcome: Outcome) -> None:
        """A stage has finished a part, or given it up."""
        name = outcome.stage
        if outcome.report is not None:
            entered, kept = self.rows[name]
            self.rows[name] = (entered + outcome.report.entered, kept + outcome.report.kept)
        else:
            self.bars.console.print(f"{name}: gave up {outcome.error}", markup=False)
        entered, kept = self.rows[name]
        self.bars.update(self.tasks[name], advance=1, kept=f"kept {kept} of {entered}")

    def sink(self, name: str) -> None:
        """A sink begins."""
        self.tasks[name] = self.bars.add_task(name, total=None, kept="writing")

    def sink_told(self, name: str, line: str) -> None:
        """A sink says how far it is."""
        self.bars.update(self.tasks[name], kept=line)

    def sink_done(self, name: str) -> None:
        """A sink has written all it writes."""
        self.bars.update(self.tasks[name], total=1, completed=1, kept="written")

    def close(self) -> None:
        """Leave the bars as they are and stop drawing."""
        self.bars.stop()


def watcher_for(console: Console) -> Bars | Lines:
    """Return bars for a terminal, lines for anything else."""
    return Bars(console) if console.is_terminal else Lines(console)


@contextmanager
def row_progress(name: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show how far one thing over rows is: a bar on a terminal, a line every few seconds elsewhere.

    Yields:
        What is to be called with the rows done and all rows.
    """
    console = console or Console()
    if not console.is_terminal:
        yield _row_lines(name, console)
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console,
    ) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, rows: bars.update(task, completed=done, total=rows)


def _row_lines(name: str, console: Console) -> Callable[[int, int], None]:
    last = time.monotonic()

    def tell(done: int, rows: int) -> None:
        nonlocal last
        if time.monotonic() - last > LINE_EVERY_S:
            last = time.monotonic()
            console.print(f"{name}: {done}/{rows} rows", markup=False, highlight=False)

    return tell
