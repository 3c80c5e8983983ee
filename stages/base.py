"""What a stage is. The machinery around it (pipeline/part.py) splits live rows from rejected ones, batches,
counts, times, isolates bad rows, casts and commits; a subclass only decides."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import DETAIL, REASON, REJECTED
from schemas.config import StageConfig
from schemas.errors import Reject, ShowtellError
from schemas.report import PartReport
from schemas.storage import Storage
from stages.stored_columns import StoredColumns

__all__ = [
    "ANY", "ERROR", "Map", "RunView", "Sink", "Stage", "Step", "Workers", "rejected", "rows_to_table",
]

ConfigT = TypeVar("ConfigT", bound=StageConfig)
TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

ANY = pa.null()
"""Type of a consumed column that may have any type."""

ERROR = "error"
"""Reject reason of a row whose processing raised; the detail says what."""

NO_COLUMNS = pa.schema([])


class _PerThread(threading.local):
    """Counts that each thread has for itself."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __reduce__(self) -> tuple[type[_PerThread], tuple[()]]:
        return _PerThread, ()



class Step(ABC, Generic[ConfigT]):
    """What stages and sinks share: a name, settings, and the columns they read.

    Attributes:
        name: the YAML name, equal to the module's.
        version: raised whenever the same settings start to give other results.
        Config: the settings' class.
        consumes: columns that must be there.
        optional: columns read where something before produces them, null otherwise.
        consumes_every: every column of this type is read too, whatever its name.
        reasons: every reject reason the step may give, with what it means.
        folder: set by the run before ``open``; a folder of the run directory that outlives part and process.
        seed: the run's seed, set before ``open``.
        machines: how many machines work on this step, set before ``open``.
        seeded: False where no result depends on the seed: a new seed then recomputes nothing.
        columns_setting: the setting whose text names columns (``keep``), for error messages.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    Config: ClassVar[type[StageConfig]] = StageConfig
    consumes: pa.Schema = NO_COLUMNS
    optional: pa.Schema = NO_COLUMNS
    consumes_every: pa.DataType | None = None
    reasons: ClassVar[Mapping[str, str]] = {}
    seeded: ClassVar[bool] = True
    columns_setting: str = ""
    folder: Storage
    seed: int = 0
    machines: int = 1

    def __init__(self, config: ConfigT) -> None:
        """Keep the settings. Cheap, and the object can be pickled until ``open``."""
        self.config = config
        self._own = _PerThread()

    @property
    def counts(self) -> Counter[str]:
        """Numbers of the part this thread works on, added to its report (calls, tokens, usd ...)."""
        return self._own.counts

    def model_files(self) -> Sequence[str]:
        """Return the models the results depend on: local paths (their content enters the fingerprint) or ids."""
        return ()

    def estimate(self, rows: int, sample: pa.Table) -> Mapping[str, float]:
        """Return what ``rows`` samples would cost (``calls``, ``usd`` ...), for ``showtell check``.

        Args:
            rows: samples of the source.
            sample: some of them, with the columns this step reads and ``id``; null where another stage makes them.
        """
        return {}

    def open(self) -> None:
        """Load weights, make clients: once per actor. Raises FatalError with one clear line."""

    def close(self) -> None:
        """Give back what ``open`` took. Not called where the process ends anyway."""


class Stage(Step[ConfigT]):
    """A step that adds columns to every part, row for row.

    Attributes:
        produces: the columns it adds.
        surveys: it must see its columns of every part before the first is processed (a barrier).
        survey_is_input: what the survey finds decides the results; False where it only saves work.
        surveyed: what ``survey`` found, set before ``open``.
        parts_at_once: parts an actor works on at once; above 1, that many threads call ``process``.
    """

    produces: pa.Schema = NO_COLUMNS
    surveys: bool = False
    survey_is_input: bool = True
    surveyed: pa.Table
    parts_at_once: int = 1

    @abstractmethod
    def process(self, batch: pa.Table) -> pa.Table:
        """Return the produced columns of live rows: same rows, same order.

        Args:
            batch: ``consumes`` and ``optional`` columns and ``id``, of at most ``batch_rows`` live rows.

        Returns:
            ``produces``, with ``_reason`` and ``_detail`` beside it where rows are rejected
            (``rows_to_table`` builds that). An exception costs only the row that raises it.
        """

    def survey(self, parts: Iterator[pa.Table]) -> pa.Table:
        """Return what ``process`` needs to know of the whole run; only called where ``surveys`` is true.

        Args:
            parts: the live rows of each part, in order, with the columns ``process`` would see.
        """
        raise NotImplementedError(f"{self.name} surveys, but has no survey()")


class RunView(StoredColumns, Protocol):
    """A run as a sink sees it: the parts that every stage has finished."""

    name: str
    seed: int

    def parts(self) -> Sequence[int]:
        """Return the numbers of the parts."""

    def dataset(self) -> str:
        """Return the folder of the finished dataset, which ``datasets.load_from_disk`` opens."""

    def table(self, part: int, columns: Sequence[str], live: bool = True) -> pa.Table:
        """Return columns of a part, of the rows still live or of all. A row that never reached the stage of a column
        has a null there, whatever the stage once stored for it."""

    def stored(self, part: int, columns: Sequence[str]) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        """Return columns of all rows of a part, read only where they are touched, and the places of the live rows. What
        the other rows hold may be anything."""

    def rejects(self, part: int) -> pa.Table:
        """Return the rejected rows of a part: ``id, url, stage, reason, detail``."""

    def reports(self) -> Mapping[str, PartReport]:
        """Return the summed report of the source and of each stage so far, in order."""

    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Return name, use, what it does, version, fingerprint, settings (secrets redacted) and models (name -> digest
        of the content) of each step, in order."""

    def config(self) -> Mapping[str, Any]:
        """Return the config as written, without secrets, and without where it ran."""

    def digest(self) -> str:
        """Return the digest of every value of source and stages: equal data give equal digests."""


class Workers(Protocol):
    """Who does a sink's work: this process, or a cluster."""

    def launch(self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int,
               cpus: float, gpus: float) -> None:
        """Run ``work(settings)`` on several workers that form a torch process group (or on one, without a group).

        ``settings`` gets ``tell`` beside what is in it: a function that shows the user a line of progress.

        Raises:
            FatalError: one failed.
        """

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Yield ``work(task)`` for every task, in their order, whatever the order they are done in.

        A task is done again where its worker died. What ``work`` raises is raised here.

        Args:
            cpus: CPU cores one task takes.
        """


class Map(Protocol):
    """Calls a function for each of several tasks: the built-in ``map``, or that of ``Workers``."""

    def __call__(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], /) -> Iterator[ResultT]:
        """Yield ``work(task)`` for every task, in their order."""


class Sink(Step[ConfigT]):
    """A step that makes something of the finished parts: a dataset, a model."""

    output: ClassVar[str]
    """The folder of the run directory it writes."""

    @abstractmethod
    def write(self, run: RunView, into: Storage, workers: Workers) -> Mapping[str, Any]:
        """Write everything into an empty folder, which is put in place when this returns.

        Returns:
            What ``showtell status`` tells about it, as JSON values.
        """

    def on_card(self, made: Storage) -> str:
        """Return what the dataset's card is to tell of this (Markdown with its own heading); nothing by default.

        Args:
            made: the folder ``write`` has filled, in its place.
        """
        return ""


def rejected(error: Exception) -> dict[str, str]:
    """Return the columns that mark a row as rejected: by a Reject's reason, else by ``error``."""
    if isinstance(error, Reject):
        return {REASON: error.reason, DETAIL: error.detail}
    detail = str(error) if isinstance(error, ShowtellError) else f"{type(error).__name__}: {error}"
    return {REASON: ERROR, DETAIL: detail.encode("utf-8", "replace").decode()}


def rows_to_table(rows: Sequence[Mapping[str, Any] | Exception], produces: pa.Schema) -> pa.Table:
    """Build ``process``'s result from one outcome a row: the produced values, or what went wrong."""
    schema = pa.schema([*produces, *REJECTED])
    values = [rejected(row) if isinstance(row, Exception) else row for row in rows]
    return pa.Table.from_pylist(values, schema=schema)
