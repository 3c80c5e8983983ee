"""Commands and servers in processes of their own, and what they cost: wall and processor seconds, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "measure", "output_of", "serving"]

SAMPLE_S = 0.25
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one command cost. Memory is proportional set size: shared pages are counted once."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str], environment: dict[str, str], log: Path) -> Cost:
    """Run a command; if it fails, print the end of its log and raise CalledProcessError.

    Processes are found by a mark in their environment, which children inherit, so that daemons count too. What a
    process used since it was last seen, up to a quarter of a second, is missed.
    """
    mark = f"BENCH_MARK={os.getpid()}.{time.monotonic_ns()}"
    name, value = mark.split("=")
    seconds: dict[int, float] = {}
    peak = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        ours: dict[int, bool] = {}
        while not over.wait(SAMPLE_S):
            memory = 0.0
            for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]:
                try:
                    if pid not in ours:
                        ours[pid] = mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
                    if ours[pid]:
                        seconds[pid], used = _usage(pid)
                        memory += used
                except (OSError, ValueError, IndexError):  # it ended meanwhile
                    ours.pop(pid, None)
            peak = max(peak, memory)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        with log.open("w") as output:
            environment = {**os.environ, **environment, name: value}
            subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT, env=environment)
        wall = time.perf_counter() - started
    except subprocess.CalledProcessError:
        print(log.read_text(errors="replace")[-2000:], flush=True)
        raise
    finally:
        over.set()
        watcher.join()
    return Cost(wall, sum(seconds.values()), peak)


def output_of(command: Sequence[str], environment: dict[str, str], log: Path) -> str:
    """Return what a command prints; if it fails, print the end of its log and raise CalledProcessError."""
    with log.open("w") as errors:
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **environment}
        )
    if ended.returncode:
        print(log.read_text(errors="replace")[-2000:], flush=True)
    ended.check_returncode()
    return ended.stdout


@contextmanager
def serving(module: str, arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """Run a server of this project, which writes its port to the file that is its last argument; yields its address."""
    port = folder / "port"
    port.unlink(missing_ok=True)
    server = subprocess.Popen([sys.executable, "-m", module, *arguments, str(port)])
    try:
        while not port.exists() or not port.read_text():
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port.read_text()}"
    finally:
        server.kill()
        server.wait()


def _usage(pid: int) -> tuple[float, float]:
    """Return processor seconds so far and memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return (int(fields[11]) + int(fields[12])) / TICKS, int(pss.split()[1]) / 1e3
