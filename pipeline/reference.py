"""Writes the reference of all settings from the code itself: ``python -m pipeline.reference > docs/stages.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.config import SPEED, RunConfig, StageConfig
from stages.base import Sink, Stage, Step
from stages.catalogue import STAGES, find

__all__ = ["reference"]

HEADER = """# Settings

Made by `make docs` from the code. A setting marked *speed* changes how fast a stage works but not what comes out: the
results of an earlier run are reused when it changes. Relative paths are relative to the config file; `${NAME}` is the
environment variable.
"""


def reference() -> str:
    """Return the reference as Markdown: the run, the source, settings of all stages, then each stage."""
    sections = [
        HEADER,
        _section("The run", RunConfig),
        _section("Every stage", StageConfig),
        *(_stage(use) for use in STAGES),
    ]
    return "\n".join(sections)


def _section(title: str, model: type[BaseModel]) -> str:
    return f"## {title}\n\n{_table(model, set())}"


def _stage(use: str) -> str:
    step = find(use)
    lines = [f"## `{use}`", "", _first_paragraph(step), "", f"Reads {_columns(step)}."]
    if issubclass(step, Stage) and step.produces.names:
        lines.append("Adds " + ", ".join(f"`{field.name}` ({field.type})" for field in step.produces) + ".")
    if issubclass(step, Sink):
        lines.append(f"Writes `{step.output}/`.")
    lines += ["", _table(step.Config, set(StageConfig.model_fields) - _changed(step.Config))]
    if step.reasons:
        lines += ["| reject reason | meaning |", "| --- | --- |"]
        lines += [f"| `{reason}` | {_cell(meaning)} |" for reason, meaning in step.reasons.items()]
        lines.append("")
    return "\n".join(lines)


def _first_paragraph(step: type[Step[Any]]) -> str:
    return " ".join((step.__doc__ or "").split("\n\n")[0].split())


def _columns(step: type[Step[Any]]) -> str:
    names = [f"`{name}`" for name in step.consumes.names]
    names += [f"`{name}` where there is one" for name in step.optional.names]
    if step.consumes_every is not None:
        names.append("every column of conversations")
    return ", ".join(names) or "the columns its settings name"


def _changed(config: type[BaseModel]) -> set[str]:
    """Return the settings of every stage that this one redefines."""
    return {name for name in StageConfig.model_fields if name in config.__annotations__}


def _table(model: type[BaseModel], hidden: set[str]) -> str:
    rows = "".join(
        f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |\n"
        for name, field in _fields(model, "")
        if name not in hidden
    )
    return f"| key | default | meaning |\n| --- | --- | --- |\n{rows}" if rows else ""


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting, those of a nested section under ``section.key``."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and not issubclass(inner, StageConfig):
            yield from _fields(inner, f"{prefix}{name}.")


def _default(field: FieldInfo) -> str:
    speed = " *speed*" if SPEED in field.metadata else ""
    if field.default is PydanticUndefined:
        return f"required{speed}"
    value = field.default
    if isinstance(value, BaseModel):
        return "its own defaults"
    return f"`{json.dumps(value)}`{speed}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
