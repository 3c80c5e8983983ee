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
from stages.dataset.manifest import REJECTS_FILE
from stages.dataset.rows import features

__all__ = ["FILE", "croissant", "write_croissant"]

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
    """Describe a run's dataset in its folder."""
    described = croissant(
        folder,
        name,
        f"{census.rows.total()} conversations about {census.samples.total()} samples, made by Showtell.",
        hub_license(census),
        [split for split, rows in census.rows.items() if rows],
        features().arrow_schema,
        format_,
    )
    (folder / FILE).write_bytes(described)


def croissant(
    folder: Path, name: str, description: str, license_: str, splits: Sequence[str], schema: pa.Schema,
    format_: FileFormat,
) -> bytes:
    """Return the description of the dataset in ``folder``, as JSON-LD.

    Rows and rejected rows are records; of Arrow shards, which ``mlcroissant`` 1.1 cannot read, only the files are told.

    Args:
        folder: where the shards are, and ``rejects.parquet`` if there is one.
        name: of the dataset.
        description: what it is, as plain text.
        license_: the one licence of all samples by the hub's name; empty where there is none.
        splits: those that have rows.
        schema: of the rows.
        format_: of the shards.
    """
    if format_ == "arrow":
        files = [_file_set(split, shard_pattern(format_, split), ARROW) for split in splits]
        records = []
    else:
        files = [_file_set(f"{split}-shards", shard_pattern(format_, split), PARQUET) for split in splits]
        records = [_record_set(split, {"fileSet": {"@id": f"{split}-shards"}}, schema) for split in splits]
    if (folder / REJECTS_FILE).is_file():
        files.append(_file_object(REJECTS_FILE, folder / REJECTS_FILE))
        records.append(_record_set("rejects", {"fileObject": {"@id": REJECTS_FILE}}, REJECTS))
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        **({"license": license_} if license_ else {}),
        "distribution": files,
        "recordSet": records,
    }
    return f"{json.dumps(described, indent=1)}\n".encode()


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
