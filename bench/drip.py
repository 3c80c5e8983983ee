"""What slow hosts cost: the same list of URLs with and without some that drip one byte every two seconds.

    python -m bench.drip [--urls 2000] [--share 0.05] [--rounds 3] [--runner inline]

A server in a process of its own serves small pictures on one port of the loopback interface; the drips, spread over
the list by chance, are on the same host as the pictures. Each round is two whole `showtell run`s, start-up included:
all URLs, and the list without the drips. Settings are the defaults, but for `allow_hosts`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.download import QUIET
from bench.processes import Cost, measure, serving

PICTURES, WIDTH, HEIGHT = 50, 320, 240


@dataclass(frozen=True)
class Round:
    """One run: rows kept, rows rejected by reason, and what it cost."""

    kept: int
    rejected: Counter[str]
    cost: Cost


def draw_pictures(folder: Path) -> Path:
    """Write small JPEG pictures of smooth noise, about 26 kB each; returns the folder."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = noise.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


def run_download(urls: Sequence[str], folder: Path, runner: str) -> Round:
    """Download the URLs with one `showtell run`."""
    folder.mkdir()
    table, config, run = folder / "urls.parquet", folder / "config.yaml", folder / "run"
    pq.write_table(pa.table({"image_url": list(urls)}), table)
    config.write_text(
        f"name: drip\nrun_dir: {run}\nsource: {{kind: table, path: {table}}}\nstages:\n"
        "  - {use: download, allow_hosts: [127.0.0.1]}\n"
    )
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--runner", runner]
    cost = measure(command, QUIET, folder / "log")
    reports = [json.loads(path.read_text()) for path in run.glob("stages/download-*/*.json")]
    reports = [report for report in reports if "kept" in report]
    rejected = sum((Counter(report["rejected"]) for report in reports), Counter[str]())
    shutil.rmtree(folder)
    return Round(sum(report["kept"] for report in reports), rejected, cost)


def main() -> None:
    """Print each round, the medians and the ratio; exit with an error where an outcome is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runner", default="inline", choices=["inline", "ray"])
    options = parser.parse_args()
    drips = set(random.Random(0).sample(range(options.urls), round(options.share * options.urls)))
    expected = {
        "with drips": (options.urls - len(drips), Counter(timeout=len(drips))),
        "without": (options.urls - len(drips), Counter[str]()),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in expected}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving("bench.photo_server", [str(draw_pictures(folder / "pictures"))], folder) as address:
            urls = [f"{address}/{'drip' if n in drips else 'good'}/{n}.jpg" for n in range(options.urls)]
            lists = {"with drips": urls, "without": [url for n, url in enumerate(urls) if n not in drips]}
            for turn in range(options.rounds):
                for kind in (lists, reversed(lists))[turn % 2]:
                    done = run_download(lists[kind], folder / "round", options.runner)
                    rounds[kind].append(done)
                    print(f"round {turn + 1}: {kind}: {describe(done)}", flush=True)
                    if (done.kept, done.rejected) != expected[kind]:
                        sys.exit(f"expected {expected[kind]}")
    walls = {kind: [one.cost.wall_s for one in ones] for kind, ones in rounds.items()}
    for kind, times in walls.items():
        print(f"{kind}: median {statistics.median(times):.1f} s, fastest {min(times):.1f} s")
    slow, quick = walls.values()
    print(
        f"with drips against without: {statistics.median(slow) / statistics.median(quick):.2f} times by the medians,"
        f" {min(slow) / min(quick):.2f} by the fastest; every drip was rejected as timeout"
    )


def describe(one: Round) -> str:
    """Put a round in words."""
    told = ", ".join(f"{count} {reason}" for reason, count in one.rejected.items()) or "none"
    return (
        f"{one.cost.wall_s:.1f} s, {one.kept} kept, rejected: {told}; {one.cost.cpu_s:.1f} CPU s,"
        f" peak {one.cost.peak_mb:.0f} MB"
    )


if __name__ == "__main__":
    main()
