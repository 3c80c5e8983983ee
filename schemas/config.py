"""The settings of a run. A stage's own settings stand in its module, on top of ``StageConfig``."""

from __future__ import annotations

import glob
import re
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
    "StageConfig", "TABLE_FORMATS", "shown_model", "table_format",
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


def shown_model(model: str) -> str:
    """Return a model as it is named in what leaves this machine: its id, or its folder's name without the way there."""
    return Path(model).name if Path(model).is_absolute() else model


class Frozen(BaseModel):
    """Base of every config: immutable, an unknown key is a mistake, the docstring under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


TABLE_FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow")
"""The extensions of ``kind: table``."""


def table_format(file: str) -> str:
    """Return a file's extension, in lower case and without the dot."""
    return Path(file).suffix.lower().removeprefix(".")


HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def _resolve_source(value: str, info: ValidationInfo) -> str:
    """A source is there, but for a dataset on the hub; a folder beside it makes its id a mistyped path."""
    kind = info.data.get("kind")
    if kind == "table":
        return _resolve_table(value, info)
    if kind != "huggingface":
        return _resolve_existing(value, info)
    path = _folder(info) / value
    if HUB_ID.fullmatch(value) and not path.exists() and not path.parent.exists():
        return value
    resolved = _resolve_existing(value, info)
    if not Path(resolved).is_dir():
        raise ValueError("must be a dataset's folder or hub id (org/name); a single file is a table")
    return resolved


def _resolve_table(value: str, info: ValidationInfo) -> str:
    resolved = _resolve_existing(value, info)
    for file in sorted(glob.glob(resolved, recursive=True)) or [resolved]:
        if table_format(file) not in TABLE_FORMATS:
            raise ValueError(f"{Path(file).name} has no extension of a table{nearest('', TABLE_FORMATS)}")
    return resolved


SourcePath = Annotated[str, AfterValidator(_resolve_source)]
"""A path or glob that must match something, or the hub id of a dataset."""


class SourceConfig(Frozen):
    """Where the samples come from."""

    kind: Literal["table", "coco", "llava", "webdataset", "huggingface"]
    """``table``: csv, tsv, jsonl, json, parquet or arrow, by file name. ``coco``: COCO annotation files.
    ``llava``: LLaVA's training JSON, or its captions-and-boxes JSON lines. ``webdataset``: tar files of samples.
    ``huggingface``: a dataset's folder, or its id on the hub."""
    path: Annotated[list[SourcePath], BeforeValidator(_as_list)]
    """A file, a list of files, or a glob; for ``webdataset`` also a folder of tar files; for ``huggingface`` one
    folder or hub id."""
    part_rows: int = Field(256, ge=1)
    """Samples in a part, the unit of work, commit and resume."""
    columns: dict[str, str | int] = {}
    """Our name -> theirs, where they differ; for ``table`` and ``huggingface``. Positions (0, 1 ...) for a csv or tsv
    without a header."""
    images: ExistingPath | None = None
    """Folder the image names of ``coco`` and ``llava`` are relative to; by default the file's own folder."""
    subset: str | None = None
    """Subset (configuration) of a ``huggingface`` dataset; needed where it has several and no default."""
    split: str | None = None
    """Split of a ``huggingface`` dataset; by default its only one, or ``train``."""
    limit: int | None = Field(None, ge=1)
    """Take only the first so many samples."""

    @field_validator("path")
    @classmethod
    def _one_dataset(cls, path: list[str], info: ValidationInfo) -> list[str]:
        if info.data.get("kind") == "huggingface" and len(path) != 1:
            raise ValueError("must be one folder or hub id")
        return path

    @field_validator("columns")
    @classmethod
    def _name_source_columns(cls, columns: dict[str, str | int], info: ValidationInfo) -> dict[str, str | int]:
        if columns and info.data.get("kind") not in ("table", "huggingface"):
            raise ValueError("only table and huggingface have columns to rename")
        ours = [name for name in SOURCE.names if name != "extra"]
        for name in columns:
            if name not in ours:
                raise ValueError(f"{name} is no source column{nearest(name, ours)}")
        return columns

    @field_validator("images")
    @classmethod
    def _names_pictures(cls, images: str | None, info: ValidationInfo) -> str | None:
        if images is not None and info.data.get("kind") not in ("coco", "llava"):
            raise ValueError("only for coco and llava: other samples say themselves where their image is")
        return images

    @field_validator("subset", "split")
    @classmethod
    def _of_a_dataset(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.data.get("kind") != "huggingface":
            raise ValueError("only for huggingface")
        return name


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
