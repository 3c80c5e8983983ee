"""The run directory: where each file of a run is, and how a part is committed.

A part file is written whole, its report last; a part without its report never happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from schemas.joined import read_joined
from schemas.report import PartReport, total
from schemas.storage import Storage

__all__ = ["SOURCE_FOLDER", "RunDirectory"]

RUN_FILE = "run.json"
SOURCE_FOLDER = "source"
SOURCE_FILE = "source/source.json"
PAUSE_FILE = "paused.json"

REPORTS = TypeAdapter(list[PartReport])


class RunDirectory:
    """One run's files.

    Args:
        url: the run directory, local or remote.
    """

    def __init__(self, url: str) -> None:
        self.storage = Storage(url)

    def describe(self) -> dict[str, Any]:
        """Return ``run.json``; empty where there is no run."""
        return dict(self.storage.read_json(RUN_FILE) or {})

    def write_description(self, description: Mapping[str, Any]) -> None:
        """Commit ``run.json``."""
        self.storage.write_json(RUN_FILE, description)

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of the last run, in order: ``name``, ``use`` and ``settings`` as the config has them."""
        described = self.describe()
        given = described.get("config", {}).get("stages", ())
        return [
            {"name": step["name"], "use": step["use"],
             "settings": {key: value for key, value in settings.items() if key not in {"use", "name"}}}
            for step, settings in zip(described.get("steps", ()), given, strict=False)
        ]

    def stage_folders(self) -> dict[str, str]:
        """Return the stages of the last run, in order, the source first, and each one's folder."""
        steps = self.describe().get("steps", ())
        return {"source": SOURCE_FOLDER} | {step["name"]: step["folder"] for step in steps if step["folder"]}

    def source(self) -> dict[str, Any]:
        """Return the index of the written source (``parts``, ``rows``, ``fingerprint``); empty before."""
        return dict(self.storage.read_json(SOURCE_FILE) or {})

    def write_source(self, index: Mapping[str, Any]) -> None:
        """Commit the source's index, after its parts are on the disk."""
        for part in range(index["parts"]):
            self.storage.make_durable(f"{SOURCE_FOLDER}/{part:05d}.arrow")
        self.storage.write_json(SOURCE_FILE, index)

    def forget_source(self) -> None:
        """Remove the source's index: what it says no longer holds."""
        self.storage.remove(SOURCE_FILE)

    def parts(self) -> range:
        """Return the numbers of the source's parts."""
        return range(int(self.source().get("parts", 0)))

    def report(self, folder: str, part: int) -> PartReport | None:
        """Return a part's report; None where the part is not committed."""
        data = self.storage.read_json(f"{folder}/{part:05d}.json")
        return None if data is None else PartReport.model_validate(data)

    def committed(self, folder: str) -> list[int]:
        """Return the parts of the source that a step has committed."""
        names = set(self.storage.names(folder))
        return [part for part in self.parts() if f"{part:05d}.json" in names]

    def is_complete(self, folder: str) -> bool:
        """Return whether a step has committed every part of the source."""
        return len(self.committed(folder)) == len(self.parts())

    def all_reports(self) -> dict[str, dict[int, PartReport]]:
        """Return the reports of the source and of each stage of the last run, by folder."""
        return {folder: self.reports(folder) for folder in self.stage_folders().values()}

    def reports(self, folder: str) -> dict[int, PartReport]:
        """Return the reports of the committed parts."""
        parts = self.committed(folder)
        files = self.storage.read_small([f"{folder}/{part:05d}.json" for part in parts])
        try:
            reports = REPORTS.validate_json(b"[" + b",".join(file or b"" for file in files) + b"]")
            return dict(zip(parts, reports, strict=True))
        except ValidationError:  # one that a power cut emptied, or that is not small
            found = {part: self.report(folder, part) for part in parts}
            return {part: report for part, report in found.items() if report is not None}

    def total(self, folder: str) -> PartReport:
        """Return the sum of the reports of the committed parts."""
        return total(self.reports(folder).values())

    def commit(
        self, folder: str, part: int, table: pa.Table, report: PartReport, *, replaces: bool, durable: bool = True
    ) -> None:
        """Write a part, then its report.

        A report already there goes first: it must never describe a newer part. The part is on the disk before its
        report, which need not be: a report that a power cut emptied only means that the part is done again.
        ``durable=False`` leaves that to ``write_source``.
        """
        if replaces:
            self.storage.remove(f"{folder}/{part:05d}.json")
        self.storage.write_table(f"{folder}/{part:05d}.arrow", table, durable=durable)
        self.storage.write(f"{folder}/{part:05d}.json", report.model_dump_json().encode(), durable=False)

    def read(self, folder: str, part: int, columns: list[str] | None = None) -> pa.Table:
        """Return columns of all rows of a committed part, memory-mapped."""
        return self.storage.read_table(f"{folder}/{part:05d}.arrow", columns)

    def read_parts(self, folder: str, parts: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return columns of all rows of committed parts, a chunk each part; copied, so meant for narrow ones."""
        return read_joined(self.storage, [f"{folder}/{part:05d}.arrow" for part in parts], columns)

    def give_up(self, folder: str, part: int, error: str) -> None:
        """Record that a part could not be processed."""
        self.storage.write(f"{folder}/{part:05d}.failed", error.encode(errors="replace"))

    def pause(self, why: str) -> None:
        """Tell every worker to begin no other part, and ``status`` why."""
        self.storage.write_json(PAUSE_FILE, {"why": why})

    def go_on(self) -> None:
        """Take back a pause."""
        self.storage.remove(PAUSE_FILE)

    def paused(self) -> str:
        """Return why the run has paused; empty where it has not."""
        return str((self.storage.read_json(PAUSE_FILE) or {}).get("why", ""))

    def given_up(self, folder: str) -> dict[int, str]:
        """Return the parts that could not be processed and are still not committed, with the error."""
        names = self.storage.names(folder)
        failed = [name for name in names if name.endswith(".failed")]
        return {
            int(name[:5]): self.storage.read(f"{folder}/{name}").decode()
            for name in failed
            if f"{name[:5]}.json" not in names
        }
