"""What a card costs: seconds of CPU and memory, where hardly any name repeats.

Makes a run of narrow rows (a caption, a score, a box, a conversation; a fifth rejected; every label, host, licence and
opening its own), then counts it and writes its card as ``shards`` does.

    python -m bench.card [--rows 200000] [--part-rows 1024] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from pipeline.config import load_config
from pipeline.plan import make_plan
from pipeline.run_dir import RunDirectory
from pipeline.run_view import FinishedRun
from stages.dataset.card import write_card
from stages.dataset.rows import features
from stages.dataset.survey import RunRows, count

__all__ = ["main"]

SAID = "The picture shows a red boat beside a small house. She is a doctor and waves to a man."


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--part-rows", type=int, default=1024)
    parser.add_argument("--folder", help="where the run is written; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        config = _write_source(Path(folder), given.rows, given.part_rows)
        command = [sys.executable, "-m", "pipeline", "run", str(config), "--runner", "inline"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _measure(config, Path(folder))


def _write_source(folder: Path, rows: int, part_rows: int) -> Path:
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(rows):
            asked = {"role": "user", "content": f"What is number{number} here?"}
            turns = [asked, {"role": "assistant", "content": SAID}]
            row = {
                "id": f"row-{number:09d}", "image_url": f"http://host{number}.example.de/x.png",
                "captions": [f"a boat {number}"], "license": f"licence {number}",
                "boxes": [{"label": f"label {number}", "box": [0, 0, 1, 1]}],
                "source_conversations": [{"kind": "chat", "messages": turns}],
            }
            file.write(json.dumps(row) + "\n")
    stages = [{"use": "bench.drawn_stages:Scored"}, {"use": "filter", "keep": "clip_score >= 0.2"}, {"use": "shards"}]
    source = {"kind": "table", "path": "rows.jsonl", "part_rows": part_rows}
    config = folder / "config.yaml"
    config.write_text(json.dumps({"name": "many", "run_dir": "run", "source": source, "stages": stages}))
    return config


def _measure(config: Path, folder: Path) -> None:
    plan, directory = make_plan(load_config(str(config), ())), RunDirectory(str(folder / "run"))
    run = FinishedRun(plan, directory, directory.parts())
    rejects = pa.concat_tables([run.rejects(part) for part in run.parts()])
    before, started = _peak_mb(), time.process_time()
    census = count(RunRows(run, features().arrow_schema), run.parts())
    counting = time.process_time() - started
    counted, started = _peak_mb(), time.process_time()
    (folder / "card").mkdir()
    (folder / "card" / "rejects.parquet").symlink_to(folder / "run" / "dataset" / "rejects.parquet")
    write_card(folder / "card", run, census, rejects, None, "arrow")
    writing = time.process_time() - started
    size = (folder / "card" / "README.md").stat().st_size
    print(f"{census.rows.total()} conversations in {len(run.parts())} parts")
    print(f"counting: {counting:.1f} s of CPU, {1e6 * counting / census.rows.total():.0f} us a conversation; "
          f"the peak grew by {counted - before:.0f} MB")
    print(f"writing: {writing:.1f} s of CPU, {size} bytes; the peak grew by {_peak_mb() - counted:.0f} MB")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
