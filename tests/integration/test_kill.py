"""kill -9 at any moment: the same command goes on and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.pipeline.runs import PROBES, ROOT, run_inline, showtell, tree, write_config, write_source

ROWS, PART_ROWS, STAGES = 48, 4, 3
"""12 parts through three stages that take 0.1 s a part, then the dataset."""

IN_FLIGHT = STAGES
"""One actor a stage: so many parts can be in work when the kill comes."""


def stages(log: Path, sleep_s: float) -> list[dict[str, object]]:
    """Return three slow stages and the shards."""
    slow = {"log": str(log), "sleep_s": sleep_s, "batch_rows": PART_ROWS}
    return [*({"use": f"{PROBES}{name}"} | slow for name in ("Length", "Width", "Talk")), {"use": "shards"}]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dataset of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_source(folder, ["a" * (number % 7 + 1) for number in range(ROWS)])
    run_inline(write_config(folder, stages(folder / "log", 0), part_rows=PART_ROWS))
    return dataset(folder)


def dataset(folder: Path) -> dict[str, bytes]:
    """Return the dataset's files without the card, which tells this test's settings."""
    return {name: data for name, data in tree(folder / "run" / "dataset").items() if name != "README.md"}


def descendants(pid: int) -> list[int]:
    """Return the process ids below a process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found, level = [], {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found += sorted(level)
    return found


def command(pid: int) -> str:
    """Return a process's command line; empty if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def kill(pids: list[int]) -> None:
    """kill -9, whoever is still there."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def the_driver(driver: int) -> list[int]:
    """Only the process the user started."""
    return [driver]


def every_worker(driver: int) -> list[int]:
    """Every process that runs a stage."""
    return [pid for pid in descendants(driver) if "ray::MapWorker" in command(pid)]


def all_of_ray(driver: int) -> list[int]:
    """The driver and everything Ray started."""
    return [driver, *descendants(driver)]


def wait_for(log: Path, rows: int, driver: subprocess.Popen[bytes]) -> None:
    """Wait until so many rows have been processed."""
    end = time.monotonic() + 120
    while time.monotonic() < end and driver.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= rows:
            return
        time.sleep(0.02)
    raise AssertionError(f"the run never processed {rows} rows (exit {driver.poll()})")


def start(config: Path) -> subprocess.Popen[bytes]:
    """Start a run as a user does."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(config)], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )


def test_killed_run_ends_with_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """The workers are killed early, and Ray starts others; then the driver; of the next run, Ray and all. The dataset
    ends byte for byte as the undisturbed one, and little was done twice."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a" * (number % 7 + 1) for number in range(ROWS)])
    config = write_config(tmp_path, stages(log, 0.1), part_rows=PART_ROWS)
    runs = [{8: every_worker, 60: the_driver}, {100: all_of_ray}]
    for kills in runs:
        driver = start(config)
        try:
            for rows, victims in kills.items():
                wait_for(log, rows, driver)
                pids = victims(driver.pid)
                assert pids
                kill(pids)
        finally:
            kill([driver.pid])
            driver.wait()
    ended = showtell("run", str(config), "--runner", "inline")
    assert ended.returncode == 0, ended.stderr
    assert dataset(tmp_path) == undisturbed
    times = Counter(log.read_text().splitlines())
    assert len(times) == ROWS * STAGES
    again = sum(count - 1 for count in times.values())
    assert again <= IN_FLIGHT * PART_ROWS * sum(map(len, runs)), "only parts that were in flight are done again"
