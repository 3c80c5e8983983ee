"""Writing and reading a dataset, side by side with ``datasets.save_to_disk``, webdataset and litdata, on the same rows.

    python -m bench.shards [--rows 10000] [--image-bytes 30000] [--rounds 3] [--workers 1] [--shard-mb 100]

A run is made once whose samples have an image and a conversation of three turns. From it ``shards`` writes Arrow,
Parquet and shuffled Arrow: the rows, with plan and hashes; "whole" is all that the stage does, mostly counting words
for the card. The others are given the finished dataset's rows; "save_to_disk, hashed" also computes every file's
sha256, as ours do. Each then reads what it wrote, in order and shuffled: every image's bytes and every message, no
other column, no image decoded. Every measurement is a process of its own, imports not counted, files in the page cache
but none waiting to be written; all take turns. litdata is skipped where it cannot be imported; without touching this
environment:

    pip install --target DIR --no-deps litdata lightning-utilities boto3 botocore s3transfer jmespath tifffile obstore
    PYTHONPATH=DIR python -m bench.shards
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import datasets
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.config import load_config
from pipeline.execute import Watcher, execute
from pipeline.inline_runner import InlineRunner
from pipeline.plan import make_plan
from pipeline.run_dir import RunDirectory
from pipeline.run_view import FinishedRun
from schemas.columns import CONVERSATIONS
from schemas.config import StageConfig
from schemas.storage import Storage
from stages.base import Map, Stage, rows_to_table
from stages.dataset.files import FileFormat, write_index
from stages.dataset.rows import features
from stages.dataset.sizes import arrow_overhead, parquet_overhead
from stages.dataset.survey import RunRows, survey, total
from stages.dataset.writing import Layout, write_splits
from stages.shards import Shards, ShardsConfig

__all__ = ["Samples", "main"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

OURS: Final = ("shards arrow", "shards parquet", "shards arrow shuffle", "shards arrow whole")
OTHERS: Final = ("save_to_disk", "save_to_disk, hashed", "webdataset", "litdata")
ONLY_WRITTEN: Final = ("shards arrow whole", "save_to_disk, hashed")
TASKS: Final = ("write", "sequential", "shuffled")
WORDS: Final = ("a", "man", "rides", "the", "red", "bus", "past", "old", "houses", "while", "two", "dogs", "sleep")
READ_COLUMNS: Final = ["images", "messages"]
UNDECODED: Final = datasets.List(datasets.Image(decode=False))
SHUFFLE_BUFFER: Final = 1000
"""Rows in the buffers of the readers that have one: webdataset and datasets' streaming."""


class SamplesConfig(StageConfig):
    """Settings of the generated samples."""

    image_bytes: int
    """Length of each image."""


class Samples(Stage[SamplesConfig]):
    """Gives each sample an image, a small JPEG with noise behind it, and a conversation."""

    name = "samples"
    Config = SamplesConfig
    consumes = pa.schema([("captions", pa.list_(pa.string()))])
    produces = pa.schema([("image_bytes", pa.large_binary()), ("talk", CONVERSATIONS)])

    def open(self) -> None:
        """Make the JPEG."""
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, "JPEG")
        self.jpeg = file.getvalue()

    def process(self, batch: pa.Table) -> pa.Table:
        """Draw both from the sample's id."""
        return rows_to_table([self._sample(row_id) for row_id in batch["id"].to_pylist()], self.produces)

    def _sample(self, row_id: str) -> dict[str, Any]:
        draw = random.Random(row_id)
        mean = self.config.image_bytes
        image = self.jpeg + draw.randbytes(draw.randint(mean // 2, mean * 3 // 2))
        said = [" ".join(draw.choices(WORDS, k=draw.randint(8, 40))) for _ in range(6)]
        messages = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(said)]
        return {"image_bytes": image, "talk": [{"kind": "conversation", "messages": messages, "provenance": "bench"}]}


class Unwatched:
    """Nobody is told how the run goes on."""

    def begin(self, names: Sequence[str], parts: int) -> None:
        """Say nothing."""

    def done(self, outcome: Any) -> None:
        """Say nothing."""

    def sink(self, name: str) -> None:
        """Say nothing."""

    def sink_told(self, name: str, line: str) -> None:
        """Say nothing."""

    def sink_done(self, name: str) -> None:
        """Say nothing."""


class Processes(InlineRunner):
    """Maps in processes of this machine, as a cluster would."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], *, cpus: float) -> Iterator[ResultT]:
        """Do several tasks at once."""
        with ProcessPoolExecutor(self.workers) as processes:
            yield from processes.map(work, tasks)


# --- in the children -------------------------------------------------------------------------------------------------


def prepare(scratch: Path, given: argparse.Namespace) -> Callable[[], None]:
    """Make the run and its dataset."""
    samples = ({"id": f"sample-{number:07d}", "captions": ["x"]} for number in range(given.rows))
    (scratch / "rows.jsonl").write_text("\n".join(map(json.dumps, samples)))
    (scratch / "config.yaml").write_text(json.dumps({
        "name": "bench", "run_dir": "run", "source": {"kind": "table", "path": "rows.jsonl"}, "stages": [
            {"use": "bench.shards:Samples", "image_bytes": given.image_bytes}, {"use": "shards", "splits": {}},
        ],
    }))
    loaded = load_config(str(scratch / "config.yaml"), [])
    watcher: Watcher = Unwatched()
    execute(loaded, make_plan(loaded), InlineRunner(), watcher)
    return lambda: None


def write_ours(name: str, scratch: Path, given: argparse.Namespace) -> Callable[[], None]:
    """Write the run's dataset anew."""
    loaded = load_config(str(scratch / "config.yaml"), [])
    plan = make_plan(loaded)
    run = RunDirectory(plan.config.run_dir)
    view, out, max_bytes = FinishedRun(plan, run, run.parts()), scratch / "out", given.shard_mb * 1_000_000
    workers = InlineRunner() if given.workers == 1 else Processes(given.workers)
    if "whole" in name:
        sink = Shards(ShardsConfig(use="shards", splits={}, max_shard_bytes=max_bytes))
        return lambda: consume(sink.write(view, Storage(str(out)), workers))

    def rows_alone() -> None:
        held, format_ = features(), cast(FileFormat, name.split()[1])
        overhead = (arrow_overhead if format_ == "arrow" else parquet_overhead)(held.arrow_schema)
        rows, seed = RunRows(view, held.arrow_schema), 0 if "shuffle" in name else None
        groups = [view.parts()[start : start + 16] for start in range(0, len(view.parts()), 16)]
        apply: Map = partial(workers.map, cpus=1)
        known = total([*apply(partial(survey, rows, ["train"], overhead, seed), groups)])
        layout = Layout(out, ["train"], format_, max_bytes, overhead, seed is not None)
        shards = write_splits(rows, known, layout, apply)
        if format_ == "arrow":
            write_index(out, held, shards)

    return rows_alone


def finished(folder: Path) -> Any:
    """Open a dataset's rows, images as bytes. A cast would write a copy of all rows, and that would then be read."""
    rows = datasets.load_from_disk(str(folder))["train"]
    rows.info.features["images"] = UNDECODED
    return rows


def write_others(name: str, scratch: Path, given: argparse.Namespace) -> Callable[[], None]:
    """Write the finished dataset's rows with another library."""
    source, out, workers = scratch / "run" / "dataset", scratch / "out", given.workers
    if name.startswith("save_to_disk"):
        splits, several = datasets.load_from_disk(str(source)), None if workers == 1 else workers

        def save() -> None:
            splits.save_to_disk(str(out), max_shard_size=f"{given.shard_mb}MB", num_proc=several)
            for file in out.glob("*/*.arrow") if "hashed" in name else ():
                with open(file, "rb") as stream:
                    hashlib.file_digest(stream, "sha256")

        return save
    rows = finished(source).select_columns(["id", *READ_COLUMNS])
    if name == "litdata":
        from litdata import optimize  # type: ignore[import-not-found]

        return lambda: optimize(
            fn=partial(one_row, source), inputs=list(range(len(rows))), output_dir=str(out),
            chunk_bytes=f"{given.shard_mb}MB", num_workers=workers,
        )

    def webdataset() -> None:
        from webdataset import ShardWriter  # type: ignore[import-untyped]

        out.mkdir()
        shard = {"maxcount": 1 << 30, "maxsize": given.shard_mb * 1_000_000, "verbose": 0}
        with ShardWriter(str(out / "%06d.tar"), **shard) as writer:
            for row in rows:
                writer.write({"__key__": row["id"], "jpg": row["images"][0]["bytes"], "json": row["messages"]})

    return webdataset


OPENED: dict[Path, Any] = {}


def one_row(folder: Path, number: int) -> dict[str, Any]:
    """Return what litdata stores of a row."""
    if folder not in OPENED:
        OPENED[folder] = finished(folder).select_columns(READ_COLUMNS)
    row = OPENED[folder][number]
    return {"image": row["images"][0]["bytes"], "json": json.dumps(row["messages"])}


def read(name: str, order: str, scratch: Path) -> Callable[[], int]:
    """Return what reads every row of ``out`` and counts the images' bytes."""
    out, shuffled = scratch / "out", order == "shuffled"
    if name == "webdataset":
        from webdataset import WebDataset

        tars = WebDataset(sorted(map(str, out.glob("*.tar"))), shardshuffle=100 if shuffled else False)
        rows = tars.shuffle(SHUFFLE_BUFFER) if shuffled else tars
        return lambda: sum(len(row["jpg"]) + 0 * len(json.loads(row["json"])) for row in rows)
    if name == "litdata":
        from litdata import StreamingDataset

        chunks = StreamingDataset(str(out), shuffle=shuffled)
        return lambda: sum(len(row["image"]) + 0 * len(json.loads(row["json"])) for row in chunks)
    if name == "shards parquet":
        datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0  # it rests for 5 s after the last row of a streamed shuffle
        stream = datasets.load_dataset(str(out), split="train", streaming=True, columns=READ_COLUMNS).decode(False)
        return partial(image_bytes, stream.shuffle(seed=0, buffer_size=SHUFFLE_BUFFER) if shuffled else stream)
    rows = finished(out).select_columns(READ_COLUMNS)
    return partial(image_bytes, rows.shuffle(seed=0) if shuffled else rows)


def image_bytes(rows: Iterable[Any]) -> int:
    """Count the bytes of every row's image; its messages are read with it."""
    return sum(len(row["images"][0]["bytes"]) for row in rows)


def consume(_: object) -> None:
    """Forget a result."""


def child(task: str, name: str, scratch: Path, given: argparse.Namespace) -> None:
    """Do one thing and print what it cost."""
    for setting in ("DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER"):
        os.environ[setting] = str(scratch / "litdata")
    if task == "write":
        work: Callable[[], Any] = (write_ours if name in OURS else write_others)(name, scratch, given)
    else:
        work = prepare(scratch, given) if task == "prepare" else read(name, task, scratch)
    cpu, started = cpu_s(), time.perf_counter()
    done = work()
    seconds, cpu = time.perf_counter() - started, cpu_s() - cpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
    print("RESULT", json.dumps({"s": seconds, "cpu_s": cpu, "peak_mb": peak, "bytes": done if task != "write" else 0}))


def cpu_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# --- the parent ------------------------------------------------------------------------------------------------------


def measured(task: str, name: str, scratch: Path, arguments: Sequence[str]) -> dict[str, float]:
    """Do one thing in a process of its own."""
    command = [sys.executable, "-m", "bench.shards", *arguments, "--child", task, name, str(scratch)]
    os.sync()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in ended.stdout.splitlines():
        if line.startswith("RESULT"):
            found: dict[str, float] = json.loads(line.removeprefix("RESULT"))
            return found
    raise SystemExit(f"{name}: {task} failed:\n{ended.stdout[-1000:]}{ended.stderr[-2000:]}")


def show(task: str, figures: dict[str, list[dict[str, float]]], rows: int, image_mb: float) -> None:
    """Print medians of one task, and each one's ratio to the fastest of the others."""
    middle = {
        name: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for name, found in figures.items()
    }
    others = [found for name, found in middle.items() if name in OTHERS]
    wall, cpu = (min(found[key] for found in others) for key in ("s", "cpu_s"))
    print(f"\n| {task} | s | rows/s | MB/s | CPU s | peak MB | speed to the best other | by CPU |")
    print(f"| --- {'| ---: ' * 7}|")
    for name, found in middle.items():
        speeds = f"{found['s']:.2f} | {rows / found['s']:.0f} | {image_mb / found['s']:.0f} | {found['cpu_s']:.2f}"
        ratios = f"{wall / found['s']:.2f} | {cpu / found['cpu_s']:.2f}"
        print(f"| {name} | {speeds} | {found['peak_mb']:.0f} | {ratios} |")


def main() -> None:
    """Print what writing and reading cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--image-bytes", type=int, default=30_000, help="on average")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="processes of those that can write with several")
    parser.add_argument("--shard-mb", type=int, default=100)
    parser.add_argument("--child", nargs=3, metavar=("TASK", "NAME", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        task, name, folder = given.child
        child(task, name, Path(folder), given)
        return
    there = [name for name in OTHERS if name.startswith("save_to_disk") or importlib.util.find_spec(name)]
    for name in set(OTHERS) - set(there):
        print(f"{name} is not installed and is left out; how to install it: python -m bench.shards --help")
    figures: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        measured("prepare", "run", scratch, sys.argv[1:])
        image_mb = sum(file.stat().st_size for file in scratch.glob("run/dataset/train/*.arrow")) / 1e6
        names = [*OURS, *there]
        for number in range(given.rounds):
            for name in np.roll(names, -number).tolist():
                for task in ("write",) if name in ONLY_WRITTEN else TASKS:
                    figures[task][name].append(measured(task, name, scratch, sys.argv[1:]))
                shutil.rmtree(scratch / "out")
        counted = {found["bytes"] for task in TASKS[1:] for each in figures[task].values() for found in each}
        if len(counted) != 1:
            raise SystemExit(f"not all have read the same images: {counted}")
    each = f"{given.rows} rows of {image_mb / given.rows * 1e3:.1f} kB"
    print(f"{each}, {given.workers} worker(s), {given.rounds} rounds, medians")
    for task, found in figures.items():
        show(task, found, given.rows, image_mb)


if __name__ == "__main__":
    main()
