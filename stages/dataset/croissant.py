"""``croissant.json``: the dataset as MLCommons' Croissant 1.0 describes it, for ``mlcroissant`` and dataset search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.columns import REJECTS
from stages.dataset.census import Census
from stages.dataset.files import FileFormat, shard_pattern
from stages.dataset.front_matter import hub_license
from stages.dataset.rows import features

__all__ = ["FILE", "croissant", "describe_shards", "write_croissant"]

FILE = "croissant.json"
PARQUET = "application/x-parquet"
ARROW = "application/vnd.apache.arrow.stream"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "samplingRate": "cr:samplingRate",
    "equivalentProperty": "cr:equivalentProperty",
}
"""Croissant's own context: https://docs.mlcommons.org/croissant/docs/croissant-spec.html, appendix 1."""

IMAGE = {"bytes", "path"}
"""What ``datasets`` stores of an image."""


def write_croissant(folder: Path, name: str, census: Census, format_: FileFormat) -> None:
    """Describe a run's dataset: its shards, and the rejected rows, as records."""
    patterns = {split: shard_pattern(format_, split) for split, rows in census.rows.items() if rows}
    shards, conversations = describe_shards(patterns, features().arrow_schema, format_)
    described = croissant(
        name,
        f"{census.rows.total()} conversations about {census.samples.total()} samples, built by Showtell.",
        hub_license(census),
        [*shards, _file_object("rejects.parquet", folder / "rejects.parquet")],
        [*conversations, _record_set("rejects", {"fileObject": {"@id": "rejects.parquet"}}, REJECTS)],
    )
    (folder / FILE).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def croissant(
    name: str, description: str, license_: str, files: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the JSON-LD of a dataset.

    Args:
        name: its name.
        description: what it is, as plain text.
        license_: the one licence of all samples by the hub's name; empty where there is none.
        files: its file objects and sets.
        records: its record sets.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        **({"license": license_} if license_ else {}),
        "distribution": list(files),
        "recordSet": list(records),
    }


def describe_shards(
    patterns: Mapping[str, str], schema: pa.Schema, format_: FileFormat
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the file sets and the record sets of a dataset's shards.

    ``mlcroissant`` 1.1 has no reader of Arrow files, so these are described without records.

    Args:
        patterns: split -> pattern of its shards, relative to the folder of ``croissant.json``.
        schema: of the rows.
        format_: of the shards.
    """
    if format_ == "arrow":
        return [_file_set(split, pattern, ARROW) for split, pattern in patterns.items()], []
    files = [_file_set(f"{split}-shards", pattern, PARQUET) for split, pattern in patterns.items()]
    return files, [_record_set(split, {"fileSet": {"@id": f"{split}-shards"}}, schema) for split in patterns]


def _file_set(name: str, pattern: str, encoding: str) -> dict[str, Any]:
    """Return the files that match a pattern, relative to the folder of ``croissant.json``."""
    return {"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": encoding, "includes": pattern}


def _file_object(name: str, file: Path) -> dict[str, Any]:
    """Return one Parquet file with its SHA-256; its name is its place in the folder."""
    with open(file, "rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, "encodingFormat": PARQUET,
            "sha256": sha256}


def _record_set(name: str, source: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """Return the rows of Parquet files as records.

    Args:
        name: of the record set.
        source: ``{"fileObject": {"@id": ...}}`` or ``{"fileSet": {"@id": ...}}``.
        schema: the columns: texts, numbers, lists of texts, lists of images, lists of structs.
    """
    fields = [_field(f"{name}/{column.name}", column, source) for column in schema]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _field(name: str, column: pa.Field, source: Mapping[str, Any]) -> dict[str, Any]:
    from_column = {**source, "extract": {"column": column.name}}
    field: dict[str, Any] = {"@type": "cr:Field", "@id": name, "name": column.name}
    if not pa.types.is_list(column.type):
        return {**field, "dataType": _data_type(column.type), "source": from_column}
    inner = column.type.value_type
    if not pa.types.is_struct(inner):
        return {**field, "repeated": True, "dataType": _data_type(inner), "source": from_column}
    if set(inner.names) == IMAGE:
        part = {**from_column, "transform": {"jsonPath": "bytes"}}
        return {**field, "repeated": True, "dataType": "sc:ImageObject", "source": part}
    parts = [
        {"@type": "cr:Field", "@id": f"{name}/{part.name}", "name": part.name, "repeated": True,
         "dataType": _data_type(part.type.value_type if pa.types.is_list(part.type) else part.type),
         "source": {**from_column, "transform": {"jsonPath": part.name}}}
        for part in inner
    ]
    return {**field, "repeated": True, "subField": parts}


def _data_type(type_: pa.DataType) -> str:
    if pa.types.is_integer(type_):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(type_) else "sc:Text"
