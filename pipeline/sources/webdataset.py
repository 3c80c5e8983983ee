"""``kind: webdataset``: tar files of samples, as webdataset and img2dataset write them.

Members whose paths agree up to the first dot of the file name are one sample: ``00001/000010042.jpg``, ``.txt`` and
``.json`` (webdataset/webdataset, tariterators.py). Nothing in an archive is trusted, and nothing is ever extracted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.sources import img2dataset, table
from pipeline.sources.canonical import BAD_ROW, SourceRow, canonical
from pipeline.sources.tar import BrokenTarError, Member, TarReader
from schemas.columns import SOURCE
from schemas.config import SourceConfig
from schemas.errors import ConfigError, Mistake, Reject

__all__ = ["files", "read"]

ARCHIVES = (".tar", ".tar.gz", ".tgz")
IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"})
AUDIO = frozenset({"wav", "flac", "mp3", "ogg", "opus", "m4a"})
MAX_MEDIA_BYTES = 256 << 20
"""Largest picture or recording, and largest sample."""
MAX_TEXT_BYTES = 1 << 20
"""Largest caption, metadata or other text."""
MAX_MEMBERS = 1000
"""Most files of a sample."""
MAX_NAME = 500
"""Longest name of a member, in characters."""
TEXTS = ("txt", "json")
IDENTITY = frozenset({"id", "image", "audio", "extra"})
"""What a sample's metadata cannot say of it: who it is, and which file of this machine to read."""


def files(path: str) -> list[str]:
    """Return the archives a path stands for; a folder's, with img2dataset's list of what it could not download."""
    if not Path(path).is_dir():
        return [path]
    found: list[str] = []
    for archive in sorted(file for file in Path(path).rglob("*") if file.name.lower().endswith(ARCHIVES)):
        listing = archive.with_suffix(".parquet")
        found += [str(archive), *([str(listing)] if listing.is_file() else [])]
    if not found:
        raise ConfigError(path, [Mistake("source.path", path, "holds no .tar or .tar.gz files")])
    return found


def read(files: list[str], _config: SourceConfig) -> Iterator[SourceRow]:
    """Yield one sample a key, in the order of the files and of their members.

    A key that stands again, in the same file or another, is ``key#2``, and so on.
    """
    seen: Counter[str] = Counter()
    for file in files:
        for key, sample in _listed(file) if file.endswith(".parquet") else _archived(file):
            seen[key] += 1
            name = f"{key}#{seen[key]}" if seen[key] > 1 else key
            if isinstance(sample, Reject):
                yield SourceRow({"id": name}, sample)
            else:
                yield canonical({**sample, "id": name}, folder="")


Keyed = tuple[str, Mapping[str, Any] | Reject]
"""A key, and the sample under our names, or why it cannot be used."""


def _listed(file: str) -> Iterator[Keyed]:
    """Yield what img2dataset's list beside an archive says of the pictures it could not download."""
    try:
        for row in table.read_parquet(file):
            if not img2dataset.is_metadata(row):
                return
            if row["status"] != "success":
                yield str(row.get("key")), _metadata(row)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error


def _archived(file: str) -> Iterator[Keyed]:
    """Yield the samples of an archive: members that follow each other and share a key."""
    for key, parts in groupby(_parts(file), key=itemgetter(0)):
        members: dict[str, bytes] = {}
        size = 0
        reject: Reject | None = None
        for _, extension, content in parts:
            if reject:
                continue
            if isinstance(content, Reject):
                reject = content
            elif extension in members:
                reject = Reject(BAD_ROW, f"{key}.{extension} stands twice")
            else:
                members[extension] = content
                size += len(content)
                if size > MAX_MEDIA_BYTES or len(members) > MAX_MEMBERS:
                    reject = Reject(BAD_ROW, f"{key} has {size} bytes in {len(members)} files, too many for a sample")
            if reject:
                members.clear()
        yield key, reject or _sample(key, members)


def _parts(file: str) -> Iterator[tuple[str, str, bytes | Reject]]:
    """Yield key, extension and bytes of an archive's members, or what is wrong with one.

    Where an archive breaks off, the sample it was at is rejected: nobody knows whether it is complete.
    """
    key: str | None = None
    try:
        with TarReader(file) as archive:
            for member in archive:
                key = key or ""
                if named := _split(member):
                    key, extension = named
                    yield key, extension, _content(archive, member, extension)
    except OSError as error:
        raise ConfigError(file, [Mistake("source.path", file, f"cannot be read: {error}")]) from error
    except BrokenTarError as error:
        if key is None:
            raise ConfigError(file, [Mistake("source.path", file, f"cannot be read as a tar file: {error}")]) from error
        yield key, "", Reject(BAD_ROW, f"{Path(file).name} cannot be read from {key} on: {error}")


def _split(member: Member) -> tuple[str, str] | None:
    """Return a member's key and its extension in lower case; None where it belongs to no sample."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    stem, dot, extension = name.partition(".")
    if member.is_folder or not stem or not dot:
        return None
    return (folder + slash + stem)[:MAX_NAME], extension.lower()


def _content(archive: TarReader, member: Member, extension: str) -> bytes | Reject:
    """Return a member's bytes; of a file that is neither media nor a short text, only how many these are."""
    oddity = member.oddity
    if member.name.startswith("/") or ".." in member.name.split("/"):
        oddity = "outside of its archive"
    if len(member.name) > MAX_NAME:
        oddity = f"called by {len(member.name)} characters"
    if oddity:
        return Reject(BAD_ROW, f"{member.name[:MAX_NAME]} is {oddity}")
    is_media = _kind(extension) in IMAGES | AUDIO
    limit = MAX_MEDIA_BYTES if is_media else MAX_TEXT_BYTES
    if member.size <= limit:
        return archive.read()
    if is_media or extension in TEXTS:
        return Reject(BAD_ROW, f"{member.name} holds {member.size} bytes, {limit} allowed")
    return f"<{member.size} bytes>".encode()


def _kind(extension: str) -> str:
    return extension.rpartition(".")[2]


def _sample(key: str, members: Mapping[str, bytes]) -> Mapping[str, Any] | Reject:
    """Return a sample under our names, or why it cannot be used."""
    rest = dict(members)
    try:
        media = {name: {"bytes": data, "path": None} for name, data in (
            ("image", _only(key, rest, IMAGES)), ("audio", _only(key, rest, AUDIO))) if data is not None}
        metadata = _json(f"{key}.json", rest.pop("json", b"{}"))
        text = _text(f"{key}.txt", rest.pop("txt", b""))
    except Reject as reject:
        return reject
    others = {f".{name}" if name in SOURCE.names else name: _shown(data) for name, data in rest.items()}
    sample = {**others, **_metadata({**metadata, "txt": text}), **media}
    if not media and not sample.get("image_url") and not sample.get("audio_url"):
        return Reject(BAD_ROW, f"{key} holds neither image nor audio")
    return sample


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    return img2dataset.renamed({f"json.{name}" if name in IDENTITY else name: value for name, value in row.items()})


def _only(key: str, members: dict[str, bytes], kinds: frozenset[str]) -> bytes | None:
    """Take the sample's one picture or recording out of its members: ``jpg``, or where there is none ``left.jpg``."""
    plain = [extension for extension in members if extension in kinds]
    found = plain or [extension for extension in members if _kind(extension) in kinds]
    if len(found) > 1:
        raise Reject(BAD_ROW, f"{key} holds {' and '.join(found)}: one of them is meant")
    return members.pop(found[0]) if found else None


def _json(name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Reject(BAD_ROW, f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Reject(BAD_ROW, f"{name} is not a JSON object")
    return value


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Reject(BAD_ROW, f"{name} is not UTF-8") from error


def _shown(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"<{len(data)} bytes>"
