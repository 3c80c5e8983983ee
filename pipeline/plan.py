"""From a config to a plan: each step's columns traced to who makes them, and its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from pipeline.config import LoadedConfig, redact
from pipeline.digest import json_digest, path_digest
from pipeline.run_dir import SOURCE_FOLDER
from schemas.columns import SOURCE
from schemas.config import SPEED, RunConfig, StageConfig
from schemas.errors import ConfigError, Mistake, nearest
from stages.base import ANY, Sink, Stage, Step
from stages.catalogue import STAGES, find, plain_name

__all__ = ["Origin", "Plan", "PlannedStep", "make_plan"]

SOURCE_OWNER = -1
SOURCE_NAME = "source"


@dataclass(frozen=True)
class Origin:
    """Where a column comes from.

    Attributes:
        owner: index of the step that produces it; ``SOURCE_OWNER`` for the source.
        column: its name in the owner's files.
        type: its Arrow type.
    """

    owner: int
    column: str
    type: pa.DataType


@dataclass(frozen=True)
class PlannedStep:
    """One step of a run.

    Attributes:
        index: its place among the steps.
        name: what the config calls it.
        step: the stage or sink, not yet opened.
        reads: columns it reads -> where they come from. Absent optional columns are not in it.
        fingerprint: hex digest of everything its results depend on, but the rows themselves.
        models: each model or file it depends on, as ``model_files`` names it -> digest of its content.
    """

    index: int
    name: str
    step: Step[Any] = field(repr=False)
    reads: Mapping[str, Origin]
    fingerprint: str
    models: Mapping[str, str]

    @property
    def folder(self) -> str:
        """The run directory's folder with the step's parts."""
        return f"stages/{self.name}-{self.fingerprint[:12]}"

    @property
    def config(self) -> StageConfig:
        """The step's settings."""
        return self.step.config  # type: ignore[no-any-return]

    @property
    def stage(self) -> Stage[Any]:
        """The step as a stage that works on parts; raises TypeError if it is none."""
        if not isinstance(self.step, Stage):
            raise TypeError(f"{self.name} does not work on parts")
        return self.step


@dataclass(frozen=True)
class Plan:
    """The steps of a run, in order, and every column there is at the end.

    Attributes:
        config: the run's settings.
        raw: the config as written, without secrets.
        steps: the steps.
        columns: every column -> where it comes from.
    """

    config: RunConfig
    raw: Mapping[str, Any]
    steps: Sequence[PlannedStep]
    columns: Mapping[str, Origin]

    def stages(self) -> list[PlannedStep]:
        """Return the steps that work on parts."""
        return [planned for planned in self.steps if isinstance(planned.step, Stage)]

    def folder(self, owner: int) -> str:
        """Return the run directory's folder with the parts of a step, or of the source."""
        return SOURCE_FOLDER if owner == SOURCE_OWNER else self.steps[owner].folder

    def previous_stage(self, planned: PlannedStep) -> PlannedStep | None:
        """Return the stage whose live rows ``planned`` gets; None means the source's."""
        before = [other for other in self.stages() if other.index < planned.index]
        return before[-1] if before else None


def make_plan(loaded: LoadedConfig, until: str | None = None) -> Plan:
    """Check that every column a step reads is there, and compute fingerprints.

    Args:
        loaded: the checked config.
        until: name of the last step to run; the rest is left out.

    Raises:
        ConfigError: with every mistake found; nothing has been started.
    """
    mistakes: list[Mistake] = []
    columns = {field.name: Origin(SOURCE_OWNER, field.name, field.type) for field in SOURCE}
    steps: list[PlannedStep] = []
    names = [config.name or plain_name(config.use) for config in loaded.config.stages]
    for index, (name, config) in enumerate(zip(names, loaded.config.stages, strict=True)):
        step = find(config.use)(config)
        key = f"stages[{index}]"
        if name == SOURCE_NAME:
            mistakes.append(Mistake(f"{key}.name", name, "the source is called that"))
        is_second = name in names[:index]
        if is_second:
            mistakes.append(Mistake(key, config.use, f"{name} is used twice: give the second a `name:`"))
        mistakes.extend(_missing_columns(step, key, columns))
        reads = _reads(step, columns)
        models = {path: path_digest(path) for path in step.model_files()}
        fingerprint = _fingerprint(step, models, reads, steps, loaded.config.seed)
        steps.append(PlannedStep(index, name, step, reads, fingerprint, models))
        if isinstance(step, Stage) and not is_second:
            mistakes.extend(_add_columns(step, name, index, key, columns))
    mistakes.extend(_order_mistakes(steps))
    if until is not None:
        if until not in names:
            raise ConfigError("--until", [Mistake("--until", until, f"no such stage{nearest(until, names)}")])
        steps = steps[: names.index(until) + 1]
    if mistakes:
        raise ConfigError(loaded.file, mistakes)
    return Plan(loaded.config, redact(loaded.raw), steps, columns)


def _reads(step: Step[Any], columns: Mapping[str, Origin]) -> dict[str, Origin]:
    named = {*step.consumes.names, *step.optional.names}
    return {
        name: origin for name, origin in columns.items() if name in named or origin.type == step.consumes_every
    }


def _missing_columns(step: Step[Any], key: str, columns: Mapping[str, Origin]) -> list[Mistake]:
    """Return a mistake for every consumed column that nothing before produces, or with another type."""
    found = []
    setting = f"{key}.{step.columns_setting}" if step.columns_setting else key
    value = str(getattr(step.config, step.columns_setting)) if step.columns_setting else step.config.use
    for column in step.consumes:
        if column.name not in columns:
            hint = _qualified(column.name, columns) or _producer(column.name) or nearest(column.name, columns)
            found.append(Mistake(setting, value, f"reads {column.name}, which nothing before it produces{hint}"))
        elif column.type != ANY and column.type != columns[column.name].type:
            problem = f"reads {column.name} as {column.type}, but it is {columns[column.name].type}"
            found.append(Mistake(setting, value, problem))
    return found


def _qualified(column: str, columns: Mapping[str, Origin]) -> str:
    """Hint at the column of a stage that has a name of its own."""
    return next((f' (did you mean "{full}"?)' for full in columns if full.endswith(f".{column}")), "")


def _producer(column: str) -> str:
    stages = [name for name in STAGES if column in getattr(find(name), "produces", SOURCE.empty_table().schema).names]
    return f" (put `use: {stages[0]}` before it)" if stages else ""


def _add_columns(
    step: Stage[Any], name: str, index: int, key: str, columns: dict[str, Origin]
) -> list[Mistake]:
    """Enter the stage's columns; a stage under a second name has them as ``name.column``."""
    prefix = "" if name == step.name else f"{name}."
    found = []
    for column in step.produces:
        full = f"{prefix}{column.name}"
        if full in columns and column.name not in step.consumes.names:
            found.append(Mistake(key, step.config.use, f"produces {full}, which is there already"))
        columns[full] = Origin(index, column.name, column.type)
    return found


def _order_mistakes(steps: Sequence[PlannedStep]) -> list[Mistake]:
    """A sink sees what is finished before it: a stage after a sink would change what the sink has made."""
    first_sink = next((planned.index for planned in steps if isinstance(planned.step, Sink)), len(steps))
    return [
        Mistake(f"stages[{planned.index}]", planned.config.use, f"must stand before {steps[first_sink].name}")
        for planned in steps[first_sink + 1 :]
        if isinstance(planned.step, Stage)
    ]


def _fingerprint(
    step: Step[Any], models: Mapping[str, str], reads: Mapping[str, Origin], steps: Sequence[PlannedStep], seed: int
) -> str:
    return json_digest(
        {
            "stage": type(step).__name__,
            "version": step.version,
            "settings": _result_settings(step.config, set(models)),
            "models": [models[path] for path in step.model_files()],
            "reads": {
                column: "source" if origin.owner == SOURCE_OWNER else steps[origin.owner].fingerprint
                for column, origin in reads.items()
            },
            "seed": seed if step.seeded else None,
        }
    )


def _result_settings(config: BaseModel, models: set[str]) -> dict[str, Any]:
    """Return the settings that change results: all but those marked SPEED, at every depth.

    The path of a model is left out: its content, not its place, is what counts.
    """
    settings: dict[str, Any] = {}
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if SPEED in info.metadata or name in {"use", "name"} or (isinstance(value, str) and value in models):
            continue
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if not (isinstance(inner, str) and inner in models)}
        settings[name] = _result_settings(value, models) if isinstance(value, BaseModel) else value
    return settings
