"""How `showtell view` copes with many rows: time to the first answer and to the whole index, searches, memory.

Writes a run of narrow rows (captions, a score, one conversation, a split; a fifth rejected) as the stages would have,
and serves it with the command itself.

    python -m bench.view [--rows 200000] [--part-rows 256] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pyarrow as pa

from pipeline.run_dir import SOURCE_FOLDER, RunDirectory
from schemas.columns import BOOKKEEPING, CONVERSATIONS, SOURCE
from schemas.report import PartReport

__all__ = ["main", "write_run"]

NOUNS = ("boat", "house", "dog", "cloud", "tree", "horse", "bridge", "lamp", "mountain", "bicycle", "kettle", "sparrow")
QUERIES = {
    "first page": "",
    "page in the middle": "offset={middle}",
    "one reason": "reason=filtered",
    "score range, sorted": "range=clip_score:0.5:0.8&sort=-clip_score",
    "two words": "q=red+sparrow",
    "words nobody said": "q=zebra+crossing",
}
REPEATS = 5


def write_run(folder: Path, rows: int, part_rows: int) -> None:
    """Write a finished run of ``clip_score``, ``filter``, ``templates`` and ``shards``."""
    run = RunDirectory(str(folder))
    stages = {"clip_score": {"model": "none"}, "filter": {"keep": "clip_score >= 0.2"}, "templates": {}, "shards": {}}
    run.write_description(
        {
            "config": {"name": "many", "stages": [{"use": name, **given} for name, given in stages.items()]},
            "steps": [{"name": name, "use": name, "folder": f"stages/{name}-0", "fingerprint": "0"} for name in stages],
        }
    )
    rng = random.Random(0)
    parts = range(0, rows, part_rows)
    for part, first in enumerate(parts):
        _write_part(run, part, range(first, min(rows, first + part_rows)), rng)
    run.write_source({"parts": len(parts), "rows": rows, "fingerprint": "0"})


def _write_part(run: RunDirectory, part: int, numbers: range, rng: random.Random) -> None:
    captions = [f"a red {rng.choice(NOUNS)} beside a {rng.choice(NOUNS)} and {number} stars" for number in numbers]
    scores = [rng.random() for _ in numbers]
    live = [score >= 0.2 for score in scores]
    kinds = ("brief", "detail")
    talks = [
        [{"kind": rng.choice(kinds), "messages": _messages(caption), "provenance": "bench", "findings": []}]
        for caption in captions
    ]
    source = [{"id": f"row-{number:08d}", "captions": [text]} for number, text in zip(numbers, captions, strict=True)]
    _commit(run, SOURCE_FOLDER, part, source, SOURCE, None)
    _commit(run, "stages/clip_score-0", part, [{"clip_score": each} for each in scores],
            pa.schema([("clip_score", pa.float32())]), None)
    _commit(run, "stages/filter-0", part, [{} for _ in numbers], pa.schema([]), live)
    _commit(run, "stages/templates-0", part, [{"template_conversations": talk} for talk in talks],
            pa.schema([("template_conversations", CONVERSATIONS)]), live)
    split = pa.schema([("split", pa.string())])
    _commit(run, "stages/shards-0", part, [{"split": "train"} for _ in numbers], split, live)


def _messages(caption: str) -> list[dict[str, str]]:
    said = f"The picture shows {caption}. " * 4
    return [{"role": "user", "content": "What does the picture show?"}, {"role": "assistant", "content": said}]


def _commit(
    run: RunDirectory, folder: str, part: int, rows: list[dict[str, Any]], schema: pa.Schema, live: list[bool] | None
) -> None:
    kept = live or [True] * len(rows)
    filtered = folder.startswith("stages/filter")
    marked = [
        {**row, "_live": alive, "_reason": None if alive or not filtered else "filtered"}
        for row, alive in zip(rows, kept, strict=True)
    ]
    table = pa.Table.from_pylist(marked, schema=pa.schema([*schema, *BOOKKEEPING]))
    run.commit(folder, part, table, PartReport(rows=len(rows)), replaces=False, durable=False)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--part-rows", type=int, default=256)
    parser.add_argument("--folder", help="where the run is written; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        _, seconds = _timed(write_run, Path(folder), given.rows, given.part_rows)
        print(f"{given.rows} rows in {-(-given.rows // given.part_rows)} parts, written in {seconds:.1f} s", flush=True)
        _measure(folder, given.rows)


def _measure(folder: str, rows: int) -> None:
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", "view", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        address = str(server.stdout and server.stdout.readline()).split()[0]
        urlopen(address).read()
        print(f"start to the page: {time.perf_counter() - started:.2f} s")
        _get(f"{address}api/rows")
        print(f"start to the first answered search: {time.perf_counter() - started:.2f} s", flush=True)
        while not (run := _get(f"{address}api/run"))["is_done"]:
            time.sleep(0.1)
        print(f"start to the whole index: {time.perf_counter() - started:.1f} s; {run['indexed']} rows")
        for name, query in QUERIES.items():
            url = f"{address}api/rows?{query.format(middle=rows // 2)}"
            found, first = _timed(_get, url)
            again = sorted(_timed(_get, url)[1] for _ in range(REPEATS))[REPEATS // 2]
            print(f"{name}: {1000 * first:.0f} ms, again {1000 * again:.0f} ms; {found['total']} rows")
        sample, seconds = _timed(_get, f"{address}api/sample/0/0")
        print(f"one sample: {1000 * seconds:.0f} ms ({len(sample['story'])} chapters)")
        print(f"memory: {_anonymous_mb(server.pid):.0f} MB of its own, peak resident {_peak_mb(server.pid):.0f} MB")
        server.send_signal(signal.SIGINT)


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    value = work(*arguments)
    return value, time.perf_counter() - started


def _get(url: str) -> Any:
    with urlopen(url) as answer:
        return json.load(answer)


def _anonymous_mb(pid: int) -> float:
    """Return the memory that is the process's own; pages of mapped files can be dropped at any time."""
    return _status(pid, "RssAnon")


def _peak_mb(pid: int) -> float:
    return _status(pid, "VmHWM")


def _status(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
