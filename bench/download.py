"""img2dataset and Showtell download the same photographs, side by side, with the same resizing and encoding.

    python -m bench.download FOLDER_OF_PHOTOGRAPHS [--images 4000] [--size 336] [--rounds 3]

A server in a process of its own serves the photographs on the loopback interface. Whole process: from the command to
the last file. Steady: from the first photograph asked for to the last file. Floor: cv2 decode, area resize and encode
of the same photographs on all cores, nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.processes import Cost, measure, serving

QUALITY = 95
CORES = os.cpu_count() or 1
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0", "WANDB_MODE": "disabled"}


@dataclass(frozen=True)
class Round:
    """One tool's run: images kept, seconds from the first request to the last file, and what it cost."""

    images: int
    steady_s: float
    cost: Cost


def steady_s(address: str, outputs: Iterator[Path]) -> float:
    """Return the seconds from the first photograph asked for to the last file written."""
    with urllib.request.urlopen(f"{address}/stats") as stats:
        first, _ = json.load(stats)
    return max(path.stat().st_mtime for path in outputs) - float(first)


def run_img2dataset(address: str, folder: Path, images: int, size: int) -> Round:
    """Download with img2dataset into tar files: a process a core, 32 threads each."""
    urls, out = folder / "urls.parquet", folder / "img2dataset"
    pq.write_table(_urls(address, images), urls)
    command = [
        str(Path(sys.executable).parent / "img2dataset"), "--url_list", str(urls), "--input_format", "parquet",
        "--url_col", "image_url", "--caption_col", "captions", "--output_format", "webdataset",
        "--output_folder", str(out), "--image_size", str(size), "--resize_mode", "keep_ratio",
        "--resize_only_if_bigger", "True", "--encode_quality", str(QUALITY), "--processes_count", str(CORES),
        "--thread_count", "64", "--number_sample_per_shard", str(images // (2 * CORES)), "--compute_hash", "sha256",
    ]  # fmt: skip
    cost = measure(command, QUIET, folder / "img2dataset.log")
    done = sum(json.loads(path.read_text())["successes"] for path in out.glob("*_stats.json"))
    return Round(done, steady_s(address, out.glob("*.tar")), cost)


def run_showtell(address: str, folder: Path, images: int, size: int, runner: str) -> Round:
    """Download with Showtell into Arrow files."""
    urls, run = folder / "ours.parquet", folder / f"run-{runner}"
    pq.write_table(_urls(address, images), urls)
    config = folder / "config.yaml"
    config.write_text(
        f"name: bench\nrun_dir: {run}\nsource: {{kind: table, path: {urls}}}\nstages:\n"
        f"  - {{use: download, allow_hosts: [127.0.0.1], image_size: {size}, encode_quality: {QUALITY}}}\n"
    )
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--runner", runner]
    cost = measure(command, QUIET, folder / "ours.log")
    parts = run.glob("stages/download-*/*.json")
    done = sum(json.loads(path.read_text()).get("kept", 0) for path in parts)
    return Round(done, steady_s(address, run.glob("stages/download-*/*.arrow")), cost)


def _urls(address: str, images: int) -> pa.Table:
    return pa.table(
        {"image_url": [f"{address}/{n}/{n}.jpg" for n in range(images)], "captions": ["a photograph"] * images}
    )


def floor_s(bodies: list[bytes], images: int, size: int) -> float:
    """Return the seconds that decoding, resizing and encoding alone take on all cores."""
    # Not forked: OpenCV's threads, which have enlarged the photographs, would be missing in the child.
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as processes:
        list(processes.map(_shrink, bodies[:CORES] , [size] * CORES))
        started = time.perf_counter()
        tasks = (bodies[n % len(bodies)] for n in range(images))
        list(processes.map(_shrink, tasks, [size] * images, chunksize=32))
        return time.perf_counter() - started


def _shrink(body: bytes, size: int) -> None:
    cv2.setNumThreads(1)
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = image.shape[:2]
    scale = size / min(width, height)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def main() -> None:
    """Print each round, the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--enlarge", type=float, default=0, help="first enlarge the photographs to so many megapixels")
    parser.add_argument("--runners", nargs="+", default=["ray"], choices=["ray", "inline"])
    options = parser.parse_args()
    tools: dict[str, Callable[[str, Path], Round]] = {
        "img2dataset": lambda address, folder: run_img2dataset(address, folder, options.images, options.size)
    }
    for runner in options.runners:
        tools[f"showtell, {runner}"] = (
            lambda address, folder, runner=runner: run_showtell(address, folder, options.images, options.size, runner)  # type: ignore[misc]
        )
    rounds: dict[str, list[Round]] = {name: [] for name in tools}
    floors: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        photographs = options.photographs
        if options.enlarge:
            photographs = enlarged(options.photographs, Path(name) / "large", options.enlarge)
        bodies = [path.read_bytes() for path in sorted(photographs.rglob("*.jpg"))]
        mean_kb = sum(map(len, bodies)) / len(bodies) / 1e3
        print(f"{len(bodies)} photographs, {mean_kb:.0f} kB each on average", flush=True)
        for turn in range(options.rounds):
            floors.append(options.images / floor_s(bodies, options.images, options.size))
            print(f"round {turn + 1}: floor {floors[-1]:.0f} images/s", flush=True)
            for tool, run in tools.items():
                folder = Path(name) / "round"
                folder.mkdir()
                with serving("bench.photo_server", [str(photographs)], folder) as address:
                    rounds[tool].append(run(address, folder))
                shutil.rmtree(folder)
                print(f"round {turn + 1}: {tool}: {describe(rounds[tool][-1], options.images)}", flush=True)
    print(f"median: floor {statistics.median(floors):.0f} images/s")
    theirs = rounds["img2dataset"]
    for tool, ours in rounds.items():
        wall = statistics.median(their.cost.wall_s / our.cost.wall_s for their, our in zip(theirs, ours, strict=True))
        steady = statistics.median(their.steady_s / our.steady_s for their, our in zip(theirs, ours, strict=True))
        share = statistics.median(
            options.images / our.steady_s / floor for our, floor in zip(ours, floors, strict=True)
        )
        speed = options.images / statistics.median(our.cost.wall_s for our in ours)
        fast = options.images / statistics.median(our.steady_s for our in ours)
        print(
            f"median: {tool}: whole process {speed:.0f} images/s ({wall:.2f} times img2dataset), steady {fast:.0f}"
            f" images/s ({steady:.2f} times img2dataset, {share:.2f} of the floor)"
        )


def describe(one: Round, images: int) -> str:
    """Put a round in words."""
    return (
        f"{one.images} images in {one.cost.wall_s:.1f} s, steady {images / one.steady_s:.0f} images/s,"
        f" {1000 * one.cost.cpu_s / images:.1f} CPU s per 1,000 images, peak {one.cost.peak_mb:.0f} MB"
    )


def enlarged(photographs: Path, folder: Path, megapixels: float) -> Path:
    """Write the photographs enlarged to so many megapixels; returns their folder."""
    folder.mkdir()
    for path in sorted(photographs.rglob("*.jpg")):
        image = cv2.imread(str(path))
        assert image is not None
        scale = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / path.name), large, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return folder


if __name__ == "__main__":
    main()
