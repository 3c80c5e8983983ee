"""One export, from a finished dataset to a finished folder; one that was killed goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.export.dataset import FinishedDataset
from pipeline.export.durable import commit
from pipeline.export.folder import ExportFolder
from pipeline.export.pieces import Format, Piece, PieceWriter
from schemas.errors import ConfigError, Mistake, nearest

__all__ = ["FORMATS", "MAX_SHARD_BYTES", "export"]

FORMATS = {
    "llava": "pipeline.export.llava:Llava",
    "llama_factory": "pipeline.export.llama_factory:LlamaFactory",
    "webdataset": "pipeline.export.webdataset:Webdataset",
    "parquet": "pipeline.export.parquet:Parquet",
    "trl": "pipeline.export.trl:Trl",
}
"""Format -> the class that writes it."""

MAX_SHARD_BYTES = 500_000_000

VERSION = 1
"""Raised when the same dataset comes to give other files, so that no export is continued in another form."""


def export(
    dataset_dir: str, format_name: str, to: str, max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Callable[[int, int], None] = lambda done, rows: None, finishing: Callable[[], None] = lambda: None,
) -> Mapping[str, Any]:
    """Export a dataset.

    Args:
        dataset_dir: the finished dataset.
        format_name: one of ``FORMATS``.
        to: the folder to write; empty, missing, or one that an unfinished export of the same dataset left.
        max_shard_bytes: where a format has shards, one is closed once it is this long.
        progress: called with the rows done and all rows.
        finishing: called when all rows are written, before the steps that make whole files of them.

    Returns:
        The manifest, as in the folder's ``export.json``: rows of each split, images, changed texts, files with
        their hashes.

    Raises:
        ConfigError: there is no such format or dataset, or the folder holds something else.
        FatalError: a shard is damaged, or a row is none a trainer could read.
    """
    if format_name not in FORMATS:
        problem = f"no such format{nearest(format_name, FORMATS)}"
        raise ConfigError("command line", [Mistake("--format", format_name, problem)])
    dataset = FinishedDataset(dataset_dir)
    target = Path(to).resolve()
    if "://" in to or target == dataset.folder or dataset.folder in target.parents or target in dataset.folder.parents:
        problem = "must be a local folder" if "://" in to else "must be a folder apart from the dataset's"
        raise ConfigError("command line", [Mistake("--to", to, problem)])
    claim = {"format": format_name, "dataset": dataset.identity, "max_shard_bytes": max_shard_bytes, "version": VERSION}
    folder = ExportFolder(target, claim)
    manifest = folder.manifest()
    if manifest is not None:
        folder.clear()
        return manifest
    with folder.claimed():
        format_ = _format(format_name, dataset, folder, max_shard_bytes)
        return folder.manifest() or _write(dataset, folder, format_, progress, finishing)


def _format(name: str, dataset: FinishedDataset, folder: ExportFolder, max_shard_bytes: int) -> Format:
    module, _, kind = FORMATS[name].partition(":")
    made: Format = getattr(import_module(module), kind)(dataset, folder.folder, folder.work, max_shard_bytes)
    return made


def _write(
    dataset: FinishedDataset, folder: ExportFolder, format_: Format, progress: Callable[[int, int], None],
    finishing: Callable[[], None],
) -> Mapping[str, Any]:
    rows, earlier = sum(dataset.splits.values()), 0
    pieces: list[Piece] = []
    for split, count in dataset.splits.items():
        finished = folder.pieces(split)
        told = partial(_tell, progress, earlier, rows)
        pieces += [*finished, *_rest(dataset, folder, format_, split, finished, told)]
        earlier += count
    finishing()
    files = {
        name: {"bytes": piece.bytes, "sha256": piece.sha256} if piece else _described(folder.folder / name)
        for name, piece in format_.finish(pieces).items()
    }
    manifest = {
        "rows": dict(dataset.splits), "images": sum(piece.images for piece in pieces),
        "changed_texts": sum(piece.changed for piece in pieces), "files": files,
    }
    folder.complete(manifest)
    return {**folder.claim, **manifest}


def _rest(
    dataset: FinishedDataset, folder: ExportFolder, format_: Format, split: str, finished: Sequence[Piece],
    progress: Callable[[int], None],
) -> Iterator[Piece]:
    """Write and yield the pieces that a split still needs; a split without rows has one, without rows."""
    start, number = sum(piece.rows for piece in finished), len(finished)
    tables = dataset.tables(split, start)
    table = next(tables, None)
    beside = folder.work / "piece.tmp"
    while table is not None or number == 0:
        with open(beside, "wb") as stream, closing(format_.writer(stream, split, number)) as writer:
            while table is not None and not (writer.rows and _is_full(writer, format_)):
                writer.write(table, start + writer.rows)
                progress(start + writer.rows)
                table = next(tables, None)
            writer.finish()
        piece = Piece(split, number, writer.rows, writer.images, writer.changed, **_described(beside))
        commit(beside, folder.work / (piece.name + format_.suffix))
        folder.add(piece)
        yield piece
        start, number = start + piece.rows, number + 1


def _tell(progress: Callable[[int, int], None], earlier: int, rows: int, done: int) -> None:
    progress(earlier + done, rows)


def _is_full(writer: PieceWriter, format_: Format) -> bool:
    return writer.rows >= format_.max_rows or writer.size() >= format_.max_bytes


def _described(file: Path) -> Mapping[str, Any]:
    with open(file, "rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
