"""How fast one core makes web photographs ready for training, against decoding, resizing and encoding alone.

The floor is ``cv2.imdecode``, ``cv2.resize`` by area averages to the same size and ``cv2.imencode`` at quality 95.
Ours recognises, decodes, resizes, turns, encodes and hashes twice (sha256, perceptual hash), once as a plain function
and once through one sandbox child, which also means two trips through a socket. All three take turns, in rounds.

    python -m bench.decode PHOTOS_FOLDER [--size 336] [--seconds 5] [--rounds 5] [--enlarge 12]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stages.decoding.fork_server import ENVIRONMENT
from stages.decoding.sandbox import Decoders
from stages.decoding.settings import ImageSettings

if TYPE_CHECKING:
    from stages.decoding.resize import Pixels

__all__ = ["main"]

QUALITY: Final = 95
TICKS: Final = os.sysconf("SC_CLK_TCK")
Round = Callable[[list[bytes]], float]
"""Goes through the photographs once and returns the CPU seconds it took."""


def floor_round(settings: ImageSettings) -> Round:
    """Return the round of decoding, resizing and encoding alone."""
    import cv2

    from stages.decoding.resize import scaled_size

    def work(photos: list[bytes]) -> float:
        started = time.process_time()
        for data in photos:
            pixels = full(data)
            wanted = scaled_size((pixels.shape[1], pixels.shape[0]), settings)
            small = cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA)
            cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        return time.process_time() - started

    return work


def function_round(settings: ImageSettings) -> Round:
    """Return the round of ours in this process."""
    from stages.decoding.images import finish

    def work(photos: list[bytes]) -> float:
        started = time.process_time()
        for data in photos:
            finish(data, settings)
        return time.process_time() - started

    return work


def sandbox_round(decoders: Decoders, loop: asyncio.AbstractEventLoop) -> Round:
    """Return the round of ours in one child; both processes' CPU counts."""

    async def all_of(photos: list[bytes]) -> None:
        for data in photos:
            await decoders.image(data)

    def work(photos: list[bytes]) -> float:
        started = time.process_time() + child_seconds()
        loop.run_until_complete(all_of(photos))
        return time.process_time() + child_seconds() - started

    return work


def child_seconds(pid: int | None = None) -> float:
    """Return the CPU seconds so far of the processes below one, or below this one."""
    pid = pid or os.getpid()
    total = 0.0
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS + child_seconds(child)
    return total


def full(data: bytes) -> Pixels:
    """Decode a photograph with OpenCV, in full."""
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit("OpenCV cannot decode one of the photographs")
    return np.asarray(pixels, np.uint8)


def enlarged(data: bytes, megapixels: float) -> bytes:
    """Return a photograph blown up to so many megapixels, as a camera would compress it."""
    import cv2

    pixels = full(data)
    times = math.sqrt(megapixels * 1e6 / (pixels.shape[0] * pixels.shape[1]))
    large = cv2.resize(pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def read(folder: Path, megapixels: float) -> list[bytes]:
    """Return the photographs, at most 56 of them, or 8 enlarged ones."""
    photos = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[: 8 if megapixels else 56]]
    if not photos:
        raise SystemExit(f"no .jpg files in {folder}")
    return [enlarged(data, megapixels) for data in photos] if megapixels else photos


def main() -> None:
    """Print the medians, the ratios to the floor and CPU seconds per 1,000 images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each of the three works in one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--enlarge", type=float, default=0.0, metavar="MEGAPIXELS")
    given = parser.parse_args()
    if not ENVIRONMENT.items() <= os.environ.items():  # they are read before Python starts
        os.execve(sys.executable, [sys.executable, "-m", "bench.decode", *sys.argv[1:]], {**os.environ, **ENVIRONMENT})
    import cv2

    cv2.setNumThreads(1)
    photos = read(given.photos, given.enlarge)
    settings = ImageSettings(use="download", image_size=given.size, decoders=1)
    loop = asyncio.new_event_loop()
    decoders = Decoders(settings)
    works = {
        "floor": floor_round(settings),
        "ours, function": function_round(settings),
        "ours, sandbox": sandbox_round(decoders, loop),
    }
    speeds: dict[str, list[float]] = {name: [] for name in works}
    costs: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work(photos)  # warm up
    for _ in range(given.rounds):
        for name, work in works.items():
            images, cpu, started = 0, 0.0, time.perf_counter()
            while time.perf_counter() - started < given.seconds:
                cpu += work(photos)
                images += len(photos)
            speeds[name].append(images / (time.perf_counter() - started))
            costs[name].append(1000 * cpu / images)
    loop.run_until_complete(decoders.close())
    for name in works:
        ratio = statistics.median(ours / floor for ours, floor in zip(speeds[name], speeds["floor"], strict=True))
        print(
            f"{name:15s} {statistics.median(speeds[name]):7.1f} images/s  {ratio:.2f} of the floor  "
            f"{statistics.median(costs[name]):6.2f} CPU s per 1,000 images"
        )


if __name__ == "__main__":
    main()
