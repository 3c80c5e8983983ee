"""What the grid is searched by: a few narrow columns of every row, in files that queries scan and never load."""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.layout import Layout
from pipeline.part_view import PartView
from pipeline.run_dir import RunDirectory
from pipeline.viewer.query import Query
from pipeline.viewer.rows import FACETS, index_rows, score_columns

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Index"]

FIRST_FLUSH, LARGEST_FLUSH = 1024, 65_536
"""Rows of the first file and of later ones: the first page is there at once, and a large run has few files."""

REMEMBERED = 8
"""Queries whose matches are kept, so that turning the page searches nothing again."""


class Index:
    """The narrow columns of every row, written part by part by a thread of its own into a temporary folder.

    Queries see what has been written so far.

    Args:
        run: the run to look through; read as it is now.

    Attributes:
        layout: the run's columns.
        scores: the numbers a row can be filtered and sorted by -> the least and the greatest so far.
        facets: for kinds, splits, stages, reasons and states how many rows have each.
        problems: one line for each part that cannot be read.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.layout = Layout(run)
        self.total = int(run.source().get("rows", 0))
        self.parts = run.parts()
        self.scores: dict[str, tuple[float, float] | None] = dict.fromkeys(score_columns(self.layout))
        self.facets: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
        self.problems: list[str] = []
        self.is_done = False
        self._folder = tempfile.TemporaryDirectory(prefix="showtell-view-")
        self._files: list[Path] = []
        self._starts = [0]
        self._matches: OrderedDict[tuple[Query, int], np.ndarray[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._first, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._build, name="index", daemon=True)

    def start(self) -> None:
        """Begin to read the run."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until every row is in it."""
        self._thread.join()

    def close(self) -> None:
        """Stop reading and remove the files."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._folder.cleanup()

    @property
    def rows(self) -> int:
        """How many rows can be found so far."""
        return self._starts[-1]

    def find(self, query: Query) -> np.ndarray[Any, Any]:
        """Return the numbers of the rows that match, in the order asked for; waits until there are any rows.

        Raises:
            ValueError: a bad query.
        """
        self._first.wait()
        files = list(self._files)
        key = (query, len(files))
        with self._lock:
            if key in self._matches:
                self._matches.move_to_end(key)
                return self._matches[key]
        query.check(self.scores, self.facets)
        matches = self._scan(query, files)
        with self._lock:
            self._matches[key] = matches
            while len(self._matches) > REMEMBERED:
                self._matches.popitem(last=False)
        return matches

    def read(self, numbers: Sequence[int], *, text: bool = False) -> list[dict[str, Any]]:
        """Return rows by number; without the text they are searched by, unless asked for."""
        groups: dict[int, list[int]] = {}
        for number in numbers:
            groups.setdefault(bisect_right(self._starts, number) - 1, []).append(number)
        found: dict[int, dict[str, Any]] = {}
        for place, wanted in groups.items():
            table = _mapped(self._files[place])
            shown = table.select([name for name in table.column_names if text or name != "text"])
            taken = shown.take(pa.array([number - self._starts[place] for number in wanted], pa.int64()))
            found.update(zip(wanted, taken.to_pylist(), strict=True))
        return [found[number] for number in numbers]

    def _scan(self, query: Query, files: Sequence[Path]) -> np.ndarray[Any, Any]:
        import numpy as np

        if query == Query() or not files:
            return np.arange(self._starts[len(files)], dtype=np.uint32)
        import polars as pl

        frame = pl.scan_ipc(list(files)).filter(query.expression())
        if query.sort:
            frame = frame.select("number", query.sort).sort(
                [query.sort, "number"], descending=[query.descending, False], nulls_last=True
            )
        return frame.select("number").collect()["number"].to_numpy()

    def _build(self) -> None:
        try:
            self._write()
            self.is_done = not self._stop.is_set()
        except OSError as error:
            self.problems.append(f"the rest is missing here: {error}")
        finally:
            self._first.set()

    def _write(self) -> None:
        waiting: list[pa.Table] = []
        size = FIRST_FLUSH
        for rows in self._parts():
            waiting.append(rows)
            if sum(table.num_rows for table in waiting) >= size:
                self._flush(waiting)
                size = LARGEST_FLUSH
        self._flush(waiting)

    def _parts(self) -> Iterator[pa.Table]:
        number = 0
        for part in self.parts:
            if self._stop.is_set():
                return
            try:
                rows = index_rows(PartView(self.layout, part), number)
            except Exception as error:  # a damaged file must not hide the rest
                self.problems.append(f"part {part} cannot be read: {type(error).__name__}: {error}")
                continue
            number += rows.num_rows
            yield rows

    def _flush(self, waiting: list[pa.Table]) -> None:
        if not waiting:
            return
        table = pa.concat_tables(waiting).combine_chunks()
        waiting.clear()
        file = Path(self._folder.name) / f"{len(self._files):05d}.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._count(table)
        self._starts.append(self._starts[-1] + table.num_rows)
        self._files.append(file)  # after its start: who sees the file finds its rows
        self._first.set()

    def _count(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        for name, counter in self.facets.items():
            column = table[name]
            values = pc.list_flatten(column) if pa.types.is_list(column.type) else column.drop_null()
            counter.update({count["values"]: count["counts"] for count in values.value_counts().to_pylist()})
        for name in self.scores:
            least, greatest = pc.min_max(table[name]).as_py().values()
            if least is not None:
                before = self.scores[name] or (least, greatest)
                self.scores[name] = (min(before[0], least), max(before[1], greatest))


def _mapped(file: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
