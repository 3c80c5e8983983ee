"""The settings of a run. A stage's own settings stand in its module, on top of ``StageConfig``."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Any, Literal

import fsspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.columns import SOURCE
from schemas.errors import nearest

__all__ = [
    "SPEED", "ExistingPath", "Frozen", "LocalOrUrl", "ModelRef", "RayConfig", "RunConfig", "SourceConfig",
    "StageConfig",
]

SPEED = "speed"
"""Marks a setting that changes how fast a stage works but not what comes out: ``Annotated[int, SPEED]``.

Such settings are left out of the stage's fingerprint.
"""


def _folder(info: ValidationInfo) -> Path:
    """Return the folder of the config file: relative paths start there."""
    return Path((info.context or {}).get("folder", "."))


def _resolve(value: str, info: ValidationInfo) -> str:
    if "://" not in value:
        return str((_folder(info) / value).resolve())
    try:
        fsspec.get_filesystem_class(value.split("://", 1)[0])
    except ImportError as error:
        raise ValueError(str(error)) from error
    return value


def _resolve_existing(value: str, info: ValidationInfo) -> str:
    if "://" in value:
        raise ValueError("must be a file or folder here, not a URL")
    path = (_folder(info) / value).resolve()
    if not path.exists() and not glob.glob(str(path), recursive=True):
        raise ValueError(f"no such file or folder: {path}")
    return str(path)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _resolve_model(value: str, info: ValidationInfo) -> str:
    """A model is a local path where there is one, else a hub id or a library's model name."""
    path = (_folder(info) / value).resolve()
    if path.exists():
        return str(path)
    looks_local = value.startswith((".", "/", "~")) or value.count("/") > 1 or value.endswith(".pt")
    if looks_local or ("/" in value and path.parent.exists()):
        raise ValueError(f"no such file or folder: {path}")
    return value


LocalOrUrl = Annotated[str, AfterValidator(_resolve)]
"""A path, resolved against the config's folder, or a URL."""

ExistingPath = Annotated[str, AfterValidator(_resolve_existing)]
"""A path or glob that must match something."""

ModelRef = Annotated[str, AfterValidator(_resolve_model)]
"""A model's folder or file, or a hub id."""


class Frozen(BaseModel):
    """Base of every config: immutable, an unknown key is a mistake, the docstring under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


class SourceConfig(Frozen):
    """Where the samples come from."""

    kind: Literal["table", "coco", "llava"]
    """``table``: csv, tsv, jsonl, json, parquet or arrow, by file name. ``coco``: COCO annotation files.
    ``llava``: LLaVA's training JSON, or its captions-and-boxes JSON lines."""
    path: Annotated[list[ExistingPath], BeforeValidator(_as_list)]
    """A file, a list of files, or a glob."""
    part_rows: int = Field(256, ge=1)
    """Samples in a part, the unit of work, commit and resume."""
    columns: dict[str, str | int] = {}
    """Our name -> theirs, where they differ. Positions (0, 1 ...) for a csv or tsv without a header."""
    images: ExistingPath | None = None
    """Folder the image names of ``coco`` and ``llava`` are relative to; by default the file's own folder."""
    limit: int | None = Field(None, ge=1)
    """Take only the first so many samples."""

    @field_validator("columns")
    @classmethod
    def _name_source_columns(cls, columns: dict[str, str | int], info: ValidationInfo) -> dict[str, str | int]:
        if columns and info.data.get("kind") != "table":
            raise ValueError("only a table has columns to rename")
        ours = [name for name in SOURCE.names if name != "extra"]
        for name in columns:
            if name not in ours:
                raise ValueError(f"{name} is no source column{nearest(name, ours)}")
        return columns

    @field_validator("images")
    @classmethod
    def _not_for_tables(cls, images: str | None, info: ValidationInfo) -> str | None:
        if images is not None and info.data.get("kind") == "table":
            raise ValueError("only for coco and llava: in a table the column image says where each image is")
        return images


class StageConfig(Frozen):
    """Settings every stage has."""

    use: str
    """The stage: a name from the documentation, or ``package.module:Class`` for your own."""
    name: str = Field("", pattern=r"^[a-z][a-z0-9_]*$|^$")
    """What to call it, needed where one stage is used twice. Its columns are then ``name.column``."""
    cpus: Annotated[float, SPEED] = Field(1.0, ge=0)
    """CPU cores of one actor."""
    gpus: Annotated[float, SPEED] = Field(0.0, ge=0)
    """GPUs of one actor; may be a fraction. On a machine without GPUs the stage runs on the CPU."""
    actors: Annotated[tuple[int, int], SPEED] = (1, 1)
    """The fewest and the most actors."""
    batch_rows: Annotated[int, SPEED] = Field(64, ge=1)
    """Rows handed to the stage at once."""

    @model_validator(mode="after")
    def _actors_in_order(self) -> StageConfig:
        low, high = self.actors
        if not 1 <= low <= high:
            raise ValueError(f"actors: [{low}, {high}] must be [min, max] with 1 <= min <= max")
        return self


class RayConfig(Frozen):
    """Which Ray cluster runs it."""

    address: str = "local"
    """``local`` starts Ray on this machine; ``auto`` joins the running cluster; or a cluster's address."""
    num_cpus: int | None = Field(None, ge=1)
    """Cores a ``local`` Ray may use; all of them by default."""


class RunConfig(Frozen):
    """One run: its source and its stages, in order."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the dataset on its card."""
    run_dir: LocalOrUrl
    """Where everything goes: a folder or an fsspec URL (s3://bucket/prefix)."""
    seed: int = 0
    """Seeds every choice the run makes: splits, wordings, training."""
    source: SourceConfig
    """Where the samples come from."""
    stages: list[StageConfig] = Field(min_length=1)
    """What happens to them, in order."""
    ray: RayConfig = RayConfig()
    """Which Ray cluster runs it."""
