"""Shards are planned before they are written: the rows are the samples', the sizes hold, workers change nothing."""

from __future__ import annotations

import pickle
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.run_view import FinishedRun
from stages.dataset.census import Census
from stages.dataset.cutting import cut
from stages.dataset.files import FileFormat, write_shard
from stages.dataset.manifest import DatasetFile, describe_file
from stages.dataset.reading import read_batches
from stages.dataset.rows import features
from stages.dataset.sizes import IMAGE_BYTES, arrow_overhead, parquet_overhead, row_bytes
from stages.dataset.survey import RunRows, Survey, count, survey, total
from stages.dataset.writing import Layout, write_splits
from tests.pipeline.runs import PROBES, run_inline, tree, write_config, write_source
from tests.stages.dataset.plain_rows import dataset_rows

SCHEMA = features().arrow_schema
SPLITS = ("train", "validation")
OVERHEADS = {"arrow": arrow_overhead(SCHEMA), "parquet": parquet_overhead(SCHEMA)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return a run of 20 parts, some samples rejected, some of two conversations, some without a picture."""
    folder = tmp_path_factory.mktemp("run")
    write_source(folder, ["reject" if number % 11 == 5 else "a" * (number % 40 + 1) for number in range(120)])
    talks = [{"use": f"{PROBES}Talk", "name": name} for name in ("one", "two")]
    stages = [{"use": f"{PROBES}{name}"} for name in ("Picky", "Length", "Pictures")]
    shards = {"use": "shards", "splits": {"validation": 0.3}}
    result, _ = run_inline(write_config(folder, [*stages, *talks, shards], part_rows=6))
    return result.view


def surveyed(run: FinishedRun, format_: FileFormat = "arrow", seed: int | None = None) -> Survey:
    """Look at all parts at once."""
    return survey(RunRows(run, SCHEMA), SPLITS, OVERHEADS[format_], seed, run.parts())


def layout(folder: Path, format_: FileFormat = "arrow", **more: Any) -> Layout:
    """Return a layout of several shards a split."""
    return replace(Layout(folder, SPLITS, format_, 40_000, OVERHEADS[format_], False), **more)


def read(folder: Path, shards: Mapping[str, list[DatasetFile]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each split."""
    return {
        split: [row for file in files for batch in read_batches(folder / file.file) for row in batch.to_pylist()]
        for split, files in shards.items()
    }


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_rows_are_the_samples_conversations(run: FinishedRun, tmp_path: Path, format_: FileFormat) -> None:
    """Arrow's kernels give what ``dataset_rows`` gives for one sample after the other."""
    rows = RunRows(run, SCHEMA)
    expected: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for part in run.parts():
        for sample in run.table(part, [*rows.columns, *rows.conversations]).to_pylist():
            expected[sample["split"]] += dataset_rows(sample, rows.conversations)
    plain = pa.Table.from_pylist(expected["train"] + expected["validation"], schema=SCHEMA).to_pylist()
    shards = write_splits(rows, surveyed(run, format_), layout(tmp_path, format_), map)
    assert len(shards["train"]) > 1
    found = read(tmp_path, shards)
    assert found["train"] + found["validation"] == plain


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_shuffled_by_any_number_of_workers(run: FinishedRun, tmp_path: Path, format_: FileFormat) -> None:
    """Each split is permuted as a whole; files are the same however much is in memory and whoever writes them."""
    rows, known = RunRows(run, SCHEMA), surveyed(run, format_, seed=7)
    plain = write_splits(rows, surveyed(run, format_), layout(tmp_path / "plain", format_), map)
    one = write_splits(rows, known, layout(tmp_path / "one", format_, shuffled=True), map)
    with ThreadPoolExecutor(3) as threads:
        many = layout(tmp_path / "many", format_, shuffled=True, unit_bytes=4_000)
        assert write_splits(rows, known, many, threads.map) == one
    assert tree(tmp_path / "one") == tree(tmp_path / "many")
    before, after = read(tmp_path / "plain", plain), read(tmp_path / "one", one)
    for split in SPLITS:
        assert after[split] != before[split]
        assert sorted(map(str, after[split])) == sorted(map(str, before[split]))
    first_half = {row["id"] for row in before["train"][: len(before["train"]) // 2]}
    moved = sum(row["id"] in first_half for row in after["train"][len(after["train"]) // 2 :])
    assert moved > len(before["train"]) / 8


def test_other_rows_do_not_change_the_order(run: FinishedRun, tmp_path: Path) -> None:
    """Rows of half the parts come in the order they have among all."""
    ids = []
    for parts in (run.parts(), run.parts()[::2]):
        some = FinishedRun(run.plan, run.run, parts)
        folder = tmp_path / str(len(parts))
        shards = write_splits(RunRows(some, SCHEMA), surveyed(some, seed=7), layout(folder, shuffled=True), map)
        ids.append([row["id"] for row in read(folder, shards)["train"]])
    assert [row_id for row_id in ids[0] if row_id in ids[1]] == ids[1]


def test_no_parts(run: FinishedRun, tmp_path: Path) -> None:
    """A run that lost every part has one shard without rows a split, shuffled or not."""
    none = FinishedRun(run.plan, run.run, [])
    for shuffled in (False, True):
        shards = write_splits(RunRows(none, SCHEMA), surveyed(none), layout(tmp_path, shuffled=shuffled), map)
        assert [[file.rows for file in files] for files in shards.values()] == [[0], [0]]


def test_surveys_of_parts_add_up(run: FinishedRun) -> None:
    """What is known of all parts is what is known of each, the counts and the examples too."""
    rows = RunRows(run, SCHEMA)
    each = total([survey(rows, SPLITS, OVERHEADS["arrow"], 7, [part]) for part in run.parts()])
    whole, counted, added = surveyed(run, seed=7), count(rows, run.parts()), Census()
    for part in run.parts():
        added.add(pickle.loads(pickle.dumps(count(rows, [part]))))
    assert vars(added.people) == vars(counted.people)
    added.people = counted.people
    assert {name: str(value) for name, value in vars(added).items()} == {
        name: str(value) for name, value in vars(counted).items()
    }
    assert len(counted.examples) == 2
    assert counted.examples[0][0]["images"][0]["bytes"].startswith(b"\x89PNG")
    for name in ("part_rows", "splits", "sizes", "keys"):
        assert np.array_equal(getattr(each, name), getattr(whole, name))


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
@pytest.mark.parametrize("longest", [10, 5_000])
@pytest.mark.parametrize("max_shard_bytes", [100_000, 1_000_000])
def test_sizes_hold(tmp_path: Path, format_: FileFormat, longest: int, max_shard_bytes: int) -> None:
    """No shard is longer than was planned, whatever is in its rows; Arrow's are short of it by 5% or a row."""
    draw = random.Random(longest)
    table = pa.Table.from_pylist([strange(draw, longest) for _ in range(300)], schema=SCHEMA)
    images = [sum(len(image["bytes"]) + IMAGE_BYTES for image in row) for row in table["images"].to_pylist()]
    unpictured = table.set_column(2, SCHEMA.field("images"), pa.array([[]] * 300, SCHEMA.field("images").type))
    sizes = row_bytes(unpictured.combine_chunks().to_batches()[0], OVERHEADS[format_]) + np.array(images)
    cuts = cut(sizes, max_shard_bytes, OVERHEADS[format_])
    assert sum(sum(each.batches) for each in cuts) == 300
    for number, each in enumerate(cuts):
        file = tmp_path / str(number)
        ends = np.cumsum([each.start, *each.batches])
        batches = [table.take(pa.array(range(a, b))) for a, b in pairwise(ends)]
        described = write_shard(tmp_path, file.name, format_, SCHEMA, batches)
        assert described == describe_file(tmp_path, file.name, sum(each.batches))
        assert file.stat().st_size <= max_shard_bytes or sum(each.batches) == 1
        if format_ == "arrow" and number < len(cuts) - 1:
            assert file.stat().st_size + sizes[ends[-1]] > 0.95 * max_shard_bytes


def strange(draw: random.Random, longest: int) -> dict[str, Any]:
    """Return a row of texts that do not compress, nulls and lists of every length."""

    def text() -> str:
        return draw.randbytes(draw.randint(0, longest)).decode("latin-1")

    def some(make: Any, most: int = 6) -> list[Any] | None:
        return None if draw.random() < 0.2 else [make() for _ in range(draw.randint(0, most))]

    return {
        "id": text(), "kind": text(), "messages": some(lambda: {"role": text(), "content": text()}),
        "images": [{"bytes": draw.randbytes(longest), "path": None}] * draw.randint(0, 1), "captions": some(text),
        "boxes": some(lambda: {"label": text(), "box": [draw.random() for _ in range(4)]}, 20),
        "transcript": text() if draw.random() < 0.5 else None, "license": text(), "url": text(),
        "clip_score": draw.random(), "provenance": text(), "duplicate_cluster": text(),
        "findings": some(lambda: {"type": text(), "turn": 1, "start": 0, "end": 2, "message": text()}),
    }
