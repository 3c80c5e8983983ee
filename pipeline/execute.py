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
from stages.base import Sink, Stage

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
        gpus: float,
    ) -> None:
        """Run a function on several workers at once (``stages.base.Workers``)."""

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
                sinks[planned.name] = _write_sink(planned, planned.step, view, runner)
                watcher.sink_done(planned.name)
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


def _write_sink(planned: PlannedStep, sink: Sink[Any], view: FinishedRun, runner: Runner) -> Mapping[str, Any]:
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
            summary = sink.write(view, beside, runner if storage.is_local else _MapHere(runner.launch))
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


@dataclass(frozen=True)
class _MapHere:
    """Maps in this process: workers on other machines could not write into a folder of this one."""

    launch: Callable[..., None]

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Do one task after the other."""
        return map(work, tasks)


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
