"""``retry``: forget the outcome of rows rejected for some reasons, so that the next run does them again."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from pipeline.run_dir import RunDirectory
from schemas.columns import INPUT, REASON
from schemas.errors import ConfigError, Mistake, nearest
from schemas.report import PartReport

__all__ = ["forget"]


def forget(run: RunDirectory, reasons: Collection[str]) -> int:
    """Forget every outcome with one of the reasons and return how many there were.

    Raises:
        ConfigError: no reason at all, or one that no row of the run was rejected for.
    """
    folders = [folder for name, folder in run.stage_folders().items() if name != "source"]
    found = {reason for folder in folders for reason in run.total(folder).rejected}
    unknown = [
        Mistake("--only", reason, f"no stage has rejected a row for this{nearest(reason, found)}")
        for reason in reasons
        if reason not in found
    ]
    if not reasons:
        unknown = [Mistake("--only", "", f"names no reason{nearest('', found)}")]
    if unknown:
        raise ConfigError("retry", unknown)
    return sum(_forget_part(run, folder, part, reasons) for folder in folders for part in run.parts())


def _forget_part(run: RunDirectory, folder: str, part: int, reasons: Collection[str]) -> int:
    report = run.report(folder, part)
    if report is None or not any(reason in reasons for reason in report.rejected):
        return 0
    table = run.read(folder, part)
    forgotten = [reason in reasons for reason in table[REASON].to_pylist()]
    keys = [None if forget else key for forget, key in zip(forgotten, table[INPUT].to_pylist(), strict=True)]
    table = table.set_column(table.schema.get_field_index(INPUT), INPUT, pa.array(keys, pa.binary(16)))
    stale = PartReport(**{**report.model_dump(), "inputs": ""})
    run.commit(folder, part, table, stale, replaces=True)
    return sum(count for reason, count in report.rejected.items() if reason in reasons)
