"""One run from start to end: source, stages segment by segment, sinks."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.config import LoadedConfig
from pipeline.digest import json_digest
from pipeline.ingest import ingest
from pipeline.plan import Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from pipeline.run_view import FinishedRun
from pipeline.worker import Outcome, prepare, survey
from schemas.errors import FatalError
from schemas.storage import Storage
from stages.base import Sink, Stage, Workers
from stages.dataset.card import CARD, with_validation

__all__ = ["Result", "Runner", "Watcher", "execute", "only_run"]

LIBRARIES = ("pyarrow", "datasets", "torch", "transformers", "openai-whisper", "img2dataset", "openai", "ray")


TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class Runner(Protocol):
    """What moves parts through stages."""

    def run_parts(
        self, plan: Plan, segment: Sequence[PlannedStep], run: RunDirectory, parts: Sequence[int]
    ) -> Iterator[Outcome]:
        """Bring the parts up to date at every stage of the segment, yielding each outcome as it happens."""

    def launch(
        self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float,
        gpus: float, tell: Callable[[str], None] = print,
    ) -> None:
        """Run a function on several workers at once (``stages.base.Workers``); ``tell`` gets their lines, here."""

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Yield a function's result for every task (``stages.base.Workers``)."""

    def close(self) -> None:
        """Give everything back."""


class Watcher(Protocol):
    """Who is told how the run goes on."""

    def begin(self, names: Sequence[str], parts: int) -> None:
        """A segment of stages begins."""

    def done(self, outcome: Outcome) -> None:
        """A stage has finished a part, or given it up."""

    def sink(self, name: str) -> None:
        """A sink begins."""

    def sink_told(self, name: str, line: str) -> None:
        """A sink says how far it is; maybe from another thread."""

    def sink_done(self, name: str) -> None:
        """A sink has written all it writes."""


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        view: the run, to be read.
        given_up: stage and part -> error, of parts that could not be processed.
        sinks: what each sink says of what it made.
        paused: why the run stopped before its end, to be continued; empty where it did not.
    """

    view: FinishedRun
    given_up: Mapping[tuple[str, int], str]
    sinks: Mapping[str, Mapping[str, Any]]
    paused: str = ""


def execute(loaded: LoadedConfig, plan: Plan, runner: Runner, watcher: Watcher) -> Result:
    """Run a plan, reusing whatever is committed already.

    Raises:
        ConfigError: the source cannot be read.
        FatalError: the run cannot go on; what is committed stays.
    """
    run = RunDirectory(plan.config.run_dir)
    with only_run(run):
        run.go_on()
        ingest(run, plan.config.source)
        run.write_description(_description(loaded, plan))
        parts: Sequence[int] = run.parts()
        folders = {planned.name: planned.folder for planned in plan.stages()}
        given_up: dict[tuple[str, int], str] = {}
        for segment in _segments(plan):
            if segment[0].stage.surveys:
                survey(plan, segment[0], run, parts)
            watcher.begin([planned.name for planned in segment], len(parts))
            for outcome in runner.run_parts(plan, segment, run, parts):
                if outcome.fatal:
                    raise FatalError(outcome.error)
                if outcome.paused:
                    continue
                if outcome.report is None:
                    given_up[outcome.stage, outcome.part] = outcome.error
                    run.give_up(folders[outcome.stage], outcome.part, outcome.error)
                watcher.done(outcome)
            if paused := run.paused():
                return Result(FinishedRun(plan, run, ()), given_up, {}, paused)
            lost = {part for _, part in given_up}
            parts = [part for part in parts if part not in lost]
        view = FinishedRun(plan, run, parts)
        sinks = {}
        for planned in plan.steps:
            if isinstance(planned.step, Sink):
                watcher.sink(planned.name)
                workers = _SinkWorkers(runner, partial(watcher.sink_told, planned.name), run.storage.is_local)
                sinks[planned.name] = _write_sink(planned, planned.step, view, workers)
                watcher.sink_done(planned.name)
        _complete_card(plan, view)
        return Result(view, given_up, sinks)


def _segments(plan: Plan) -> Iterator[list[PlannedStep]]:
    """Yield the stages in stretches through which parts can stream: a barrier begins a new one."""
    segment: list[PlannedStep] = []
    for planned in plan.stages():
        if planned.stage.surveys and segment:
            yield segment
            segment = []
        segment.append(planned)
    if segment:
        yield segment


def _write_sink(planned: PlannedStep, sink: Sink[Any], view: FinishedRun, workers: Workers) -> Mapping[str, Any]:
    """Let a sink write beside, then put its folder in place; its record comes last."""
    storage, record = view.run.storage, f"sinks/{planned.name}.json"
    fingerprints = [step.fingerprint for step in view.plan.steps[: planned.index + 1]]
    inputs = json_digest([view.name, *fingerprints, view.digest()])
    known = storage.read_json(record) or {}
    if known.get("inputs") == inputs and storage.exists(sink.output):
        return dict(known["summary"])
    storage.remove(record)
    prepare(sink, planned, view.plan, view.run)
    sink.open()
    with _folder_beside(storage, sink.output) as beside:
        try:
            summary = sink.write(view, beside, workers)
        except FatalError:
            raise
        except Exception as error:
            raise FatalError(f"{planned.name}: cannot write: {type(error).__name__}: {error}") from error
        storage.remove(sink.output)
        if storage.is_local:
            os.rename(beside.root, storage.path(sink.output))
        else:
            storage.fs.put(f"{beside.root}/", storage.path(sink.output), recursive=True)
    storage.write_json(record, {"inputs": inputs, "summary": summary})
    return summary


def _complete_card(plan: Plan, view: FinishedRun) -> None:
    """Let the sinks tell on the dataset's card what they found out about it, which is there before them."""
    storage = view.run.storage
    sinks = [planned.step for planned in plan.steps if isinstance(planned.step, Sink)]
    sections = [section for sink in sinks if (section := sink.on_card(storage.folder(sink.output)))]
    card = f"dataset/{CARD}"
    if sections and storage.exists(card):
        old = storage.read(card)
        new = with_validation(old.decode(), sections).encode()
        if new != old:
            storage.write(card, new)


@dataclass(frozen=True)
class _SinkWorkers:
    """A runner as a sink sees it: it knows whom to tell of progress, and maps in this process where workers on other
    machines could not write into the sink's folder."""

    runner: Runner
    tell: Callable[[str], None]
    is_local: bool

    def launch(
        self, work: Callable[[dict[str, Any]], None], settings: dict[str, Any], *, workers: int, cpus: float,
        gpus: float,
    ) -> None:
        """Run a function on several workers at once."""
        self.runner.launch(work, settings, workers=workers, cpus=cpus, gpus=gpus, tell=self.tell)

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Yield a function's result for every task, in order."""
        return self.runner.map(work, tasks, cpus=cpus) if self.is_local else map(work, tasks)


@contextmanager
def _folder_beside(storage: Storage, output: str) -> Iterator[Storage]:
    """Give an empty local folder: beside its final place where that is local, so that a rename moves it."""
    parent = storage.root if storage.is_local else None
    folder = tempfile.mkdtemp(prefix=f".{output}-", dir=parent)
    os.chmod(folder, 0o755)
    try:
        yield Storage(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def only_run(run: RunDirectory) -> Iterator[None]:
    """Hold a lock on a local run directory: two runs in one would undo each other's work."""
    if not run.storage.is_local:
        yield
        return
    Path(run.storage.root).mkdir(parents=True, exist_ok=True)
    with open(run.storage.path(".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FatalError(f"{run.storage.root}: another run is using this run directory") from None
        for name in run.storage.names():
            if name.startswith((".dataset-", ".model-")):
                run.storage.remove(name)
        yield


def _description(loaded: LoadedConfig, plan: Plan) -> dict[str, Any]:
    return {
        "config": plan.raw,
        "config_file": loaded.file,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "steps": [
            {
                "name": planned.name,
                "use": planned.config.use,
                "fingerprint": planned.fingerprint,
                "folder": planned.folder if isinstance(planned.step, Stage) else "",
            }
            for planned in plan.steps
        ],
    }
