"""How long ``showtell status`` takes on a run of many parts.

Makes a run of narrow rows with two measuring stages and a ``filter`` after each, then tells of it in new processes. The
time with one part is that of starting Python and of the imports.

    python -m bench.status [--parts 1 200 500] [--part-rows 64] [--rounds 5] [--folder DIR]

A run that ``--folder`` has from before is used again.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["main"]

STAGES = [
    {"use": "bench.drawn_stages:Sized"},
    {"use": "filter", "name": "large", "keep": "width >= 64"},
    {"use": "bench.drawn_stages:Scored"},
    {"use": "filter", "name": "fitting", "keep": "clip_score >= 0.25 and width < 900"},
]


def main() -> None:
    """Print a line for each number of parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 200, 500])
    parser.add_argument("--part-rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where runs are kept; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for parts in given.parts:
            folder = (given.folder or Path(temporary)) / f"{parts}x{given.part_rows}"
            _make(folder, parts * given.part_rows, given.part_rows)
            times = [_time(folder / "run") for _ in range(given.rounds)]
            wall, cpu = (statistics.median(each) for each in zip(*times, strict=True))
            print(f"{parts} parts of {given.part_rows} rows: {wall:.2f} s, {cpu:.2f} s of CPU "
                  f"(wall {min(times)[0]:.2f} to {max(times)[0]:.2f})", flush=True)


def _make(folder: Path, rows: int, part_rows: int) -> None:
    """Make the run; one that is there is only brought up to date."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    if not config.exists():
        captions = (json.dumps({"id": f"row-{row:09d}", "captions": [f"a boat {row}"]}) for row in range(rows))
        (folder / "rows.jsonl").write_text("\n".join(captions))
        source = {"kind": "table", "path": "rows.jsonl", "part_rows": part_rows}
        config.write_text(json.dumps({"name": "many", "run_dir": "run", "source": source, "stages": STAGES}))
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--runner", "inline"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _time(run: Path) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of the command in a new process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "pipeline", "status", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
