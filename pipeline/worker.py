"""The stage actor: one opened stage that takes part numbers. Both runners run exactly this."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.digest import digest
from pipeline.part import inputs_of, work_part
from pipeline.plan import Plan, PlannedStep
from pipeline.run_dir import RunDirectory
from schemas.errors import FatalError, Paused
from schemas.report import PartReport
from stages.base import Step

__all__ = ["Outcome", "StageWorker", "prepare", "survey"]

ATTEMPTS = 2
"""How often a part is tried before it is given up: a full disk or a lost mount may come back once."""


@dataclass(frozen=True)
class Outcome:
    """What became of one part at one stage.

    Attributes:
        stage: the stage's name.
        part: the part's number.
        report: its report; None if it was not committed.
        error: why not.
        fatal: no other part would fare better: the run must stop.
        paused: the part waits for the run to be continued.
    """

    stage: str
    part: int
    report: PartReport | None
    error: str = ""
    fatal: bool = False
    paused: bool = False


class StageWorker:
    """Opens a stage once, then brings parts up to date. Never raises: what went wrong is in the outcome.

    Where every part has been committed before, the stage is opened for the first that is not up to date, if there is
    one: no model is loaded for nothing.

    Args:
        plan: the run's plan.
        planned: the step of it that is to be worked on.
        run: the run directory.
        machines: how many machines work on this stage.
    """

    def __init__(self, plan: Plan, planned: PlannedStep, run: RunDirectory, machines: int = 1) -> None:
        self.plan, self.planned, self.run = plan, planned, run
        self.failure = ""
        self.is_open = False
        self._opening = threading.Lock()
        planned.stage.machines = machines
        prepare(planned.stage, planned, plan, run)
        try:
            self.surveyed = self._read_survey()
            if not run.is_complete(planned.folder):
                self._open()
        except Exception as error:
            self.failure = f"{planned.name}: {_told(error)}"

    def _read_survey(self) -> str:
        """Hand the stage what its survey found; return the digest of it that results depend on."""
        stage = self.planned.stage
        if not stage.surveys:
            return ""
        stage.surveyed = self.run.storage.read_table(f"{self.planned.folder}/survey.arrow")
        index = self.run.storage.read_json(f"{self.planned.folder}/survey.json")
        return str(index["inputs"]) if stage.survey_is_input else ""

    def _open(self) -> None:
        """Open the stage, unless it is open; raises FatalError."""
        with self._opening:
            if self.is_open:
                return
            try:
                self.planned.stage.open()
            except Exception as error:
                raise FatalError(_told(error)) from error
            _limit_threads(self.planned.config.cpus)
            self.is_open = True

    def __call__(self, part: int) -> Outcome:
        """Process a part and commit it."""
        name = self.planned.name
        if self.failure:
            return Outcome(name, part, None, self.failure, fatal=True)
        if why := self.run.paused():
            return Outcome(name, part, None, why, paused=True)
        for _ in range(ATTEMPTS):
            try:
                report = work_part(self.run, self.plan, self.planned, part, self.surveyed, self._open)
                return Outcome(name, part, report)
            except FatalError as error:
                return Outcome(name, part, None, f"{name}: {error}", fatal=True)
            except Paused as error:
                self.run.pause(f"{name}: {error}")
                return Outcome(name, part, None, self.run.paused(), paused=True)
            except Exception as error:
                failure = f"part {part}: {type(error).__name__}: {error}"
        return Outcome(name, part, None, failure)

    def close(self) -> None:
        """Give back what the stage took."""
        if self.is_open:
            self.planned.stage.close()


def _told(error: Exception) -> str:
    """Return why a stage cannot start, in one line."""
    return str(error) if isinstance(error, FatalError) else f"cannot start: {type(error).__name__}: {error}"


def _limit_threads(cpus: float) -> None:
    """Give torch the cores the stage was given: more threads than cores spend their time waiting for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(max(1, int(cpus)))


def prepare(step: Step[Any], planned: PlannedStep, plan: Plan, run: RunDirectory) -> None:
    """Give a step what it needs of the run before it opens."""
    step.seed = plan.config.seed
    step.folder = run.storage.folder(f"responses/{planned.name}")


def survey(plan: Plan, planned: PlannedStep, run: RunDirectory, parts: Sequence[int]) -> None:
    """Let a barrier stage see every part, and commit what it found, unless that is known already.

    Raises:
        FatalError: the stage cannot make anything of the parts.
    """
    if not parts:
        return
    stage = planned.stage
    inputs = digest(bytes.fromhex(inputs_of(run, plan, planned, part).digest) for part in parts).hex()
    index = f"{planned.folder}/survey.json"
    if (run.storage.read_json(index) or {}).get("inputs") == inputs:
        return
    prepare(stage, planned, plan, run)
    try:
        found = stage.survey(inputs_of(run, plan, planned, part).live_rows() for part in parts)
    except FatalError as error:
        raise FatalError(f"{planned.name}: {error}") from error
    except Exception as error:
        raise FatalError(f"{planned.name}: cannot survey: {type(error).__name__}: {error}") from error
    run.storage.remove(index)
    run.storage.write_table(f"{planned.folder}/survey.arrow", found)
    run.storage.write_json(index, {"inputs": inputs})
