"""Reads a dataset once, in bounded memory, and says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.export.dataset import nothing_there
from pipeline.lint.across import AcrossRows
from pipeline.lint.card import check_card
from pipeline.lint.files import check_files, check_rejects
from pipeline.lint.media import MediaCheck
from pipeline.lint.problems import Report
from pipeline.lint.rows import row_problems
from schemas.errors import ConfigError, Mistake
from stages.dataset.manifest import MANIFEST, read_manifest
from stages.dataset.reading import SPLITS, DamagedShard, read_batches, read_schema
from stages.dataset.rows import features

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["lint"]

SLICE_ROWS = 100


def lint(dataset_dir: str, progress: Callable[[int, int], None] = lambda done, rows: None) -> Report:
    """Check a finished dataset.

    Args:
        dataset_dir: its folder.
        progress: called with the rows read, and all rows as far as the manifest tells.

    Raises:
        ConfigError: there is no dataset in the folder.
    """
    folder = Path(dataset_dir).resolve()
    if not any((folder / name).is_file() for name in (MANIFEST, SPLITS)) and not [*folder.glob("data/*.parquet")]:
        raise ConfigError("command line", [Mistake("DATASET_DIR", dataset_dir, nothing_there(dataset_dir, folder))])
    report = Report()
    splits = check_files(folder, report)
    stated = _stated_rows(folder)
    with MediaCheck() as media:
        reader = _Reader(folder, report, media)
        for split, files in splits.items():
            report.rows[split] += 0
            for file in files:
                rows = reader.read(split, file)
                progress(report.rows.total(), sum(stated.values()))
                if rows is not None and rows != stated.get(file, rows):
                    report.add(file, "rows", f"has {rows} rows, the manifest says {stated[file]}")
    reader.across.tell(report)
    check_rejects(folder, report)
    check_card(folder, report.rows, reader.across.samples, report)
    return report


def _stated_rows(folder: Path) -> Mapping[str, int]:
    with suppress(OSError, ValueError):  # check_files tells
        return {file.file: file.rows for shards in read_manifest(folder).splits.values() for file in shards}
    return {}


class _Reader:
    """Reads shards and checks their rows."""

    def __init__(self, folder: Path, report: Report, media: MediaCheck) -> None:
        self.folder, self.report, self.media = folder, report, media
        self.across = AcrossRows()
        self.expected = features()

    def read(self, split: str, file: str) -> int | None:
        """Check a shard; return its rows, None where not all could be read."""
        from datasets import Features

        self.across.begin(file, split)
        rows = unlicensed = 0
        try:
            schema = read_schema(self.folder / file)
            held = Features.from_arrow_schema(schema)
            if not self._fits(file, held):
                return None
            for batch in _slices(self.folder / file):
                unlicensed += self._check(file, batch, rows, held)
                rows += batch.num_rows
                self.report.rows[split] += batch.num_rows
        except DamagedShard as error:
            problem = str(error).removeprefix(f"{self.folder / file}: ")
            self.report.add(file, "readable", f"after row {rows}: {problem}" if rows else problem)
            return None
        except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
            self.report.add(file, "readable", f"{type(error).__name__}: {str(error).splitlines()[0]}")
            return None
        if unlicensed:
            self.report.warn(file, "license", f"{unlicensed} of {rows} rows have none")
        return rows

    def _fits(self, file: str, held: Features) -> bool:
        """Tell whether the shard has the dataset's columns; others may be beside them."""
        fits = True
        for name, feature in self.expected.items():
            if name not in held:
                self.report.add(file, "schema", f"has no column {name}")
                fits = False
            elif held[name] != feature:
                self.report.add(file, "schema", f"{name} is {held[name]}, not {feature}")
                fits = False
        return fits

    def _check(self, file: str, batch: pa.RecordBatch, first: int, held: Features) -> int:
        """Check rows; return how many have no licence."""
        batch.validate(full=True)
        kinds = {name: _media(feature) for name, feature in held.items()}
        plain = [name for name in batch.schema.names if not kinds[name]]
        rows = batch.select(plain).to_pylist()
        for number, row in enumerate(rows, first):
            for check, message in row_problems(row):
                self.report.add(file, check, f"{message} (id {row['id']!r})", number)
            self.report.findings.update(finding["type"] for finding in row["findings"] or ())
            self.across.add(row)
        for name in kinds.keys() - plain:
            self._check_media(file, name, batch.column(name).to_pylist(), first, sound=kinds[name] == "Audio")
        return sum(not row["license"] for row in rows)

    def _check_media(self, file: str, name: str, values: list[Any], first: int, *, sound: bool) -> None:
        listed = [value if isinstance(value, list) else [] if value is None else [value] for value in values]
        verdicts = iter(self.media.verdicts([each for value in listed for each in value], sound=sound))
        for number, value in enumerate(listed, first):
            for place in range(len(value)):
                if problem := next(verdicts):
                    self.report.add(file, name, f"{place}: {problem}", number)
            if sound:
                self.report.recordings += len(value)
            else:
                self.report.images += len(value)


def _slices(shard: Path) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(shard):
        for offset in range(0, batch.num_rows, SLICE_ROWS):
            yield batch.slice(offset, SLICE_ROWS)


def _media(feature: Any) -> str:
    """Return ``Image`` or ``Audio`` where a column holds such files or lists of them."""
    name = type(getattr(feature, "feature", feature)).__name__
    return name if name in {"Image", "Audio"} else ""
