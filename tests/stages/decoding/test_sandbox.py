from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from pictures import DATA, encoded, needs_data, rgb, scene, settings
from PIL import Image

from schemas.errors import FatalError, Reject
from stages.decoding.finished import Finished
from stages.decoding.images import finish
from stages.decoding.sandbox import COMMAND, Decoders
from stages.decoding.settings import ImageSettings

Result = TypeVar("Result")
BAD = (sys.executable, str(Path(__file__).with_name("bad_child.py")))


def decoding(
    talk: Callable[[Decoders], Awaitable[Result]],
    given: ImageSettings | None = None,
    command: tuple[str, ...] = COMMAND,
) -> Result:
    """Talk with decoders, close them, and see that no child is left."""

    async def whole() -> Result:
        decoders = Decoders(given or settings(decoders=1), command)
        try:
            return await talk(decoders)
        finally:
            await decoders.close()
            assert forked() == set()

    return asyncio.run(whole())


def children(pid: int) -> set[int]:
    """Return the processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def forked(parent: int | None = None) -> set[int]:
    """Return the decoding processes that were forked for a process, or for this one."""
    return {child for server in children(parent or os.getpid()) for child in children(server)}


async def outcome(decoders: Decoders, data: bytes) -> Finished | Reject:
    try:
        return await decoders.image(data)
    except Reject as reject:
        return reject


async def child_pid(decoders: Decoders) -> int:
    """Return the process id of the bad child that is asked next."""
    reject = await outcome(decoders, b"pid")
    assert isinstance(reject, Reject)
    return int(reject.detail)


def test_child_gives_what_the_function_gives() -> None:
    """Through the child an image comes out as it does without; kept bytes are the caller's own."""
    plain = encoded(scene(), "PNG")
    for given in (settings(decoders=1), settings(decoders=1, image_size=20)):
        assert decoding(lambda decoders: decoders.image(plain), given) == finish(plain, given)

    assert decoding(lambda decoders: decoders.image(plain)).data is plain


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"crash", "decode_crash", "signal SIGSEGV"),
        (b"exit", "decode_crash", "exit code 3"),
        (b"hang", "decode_timeout", "no result after 1 s"),
        (b"spin", "decode_timeout", "no result after 1 s"),
        (b"balloon", "decode_memory", "more than 200 MB"),
        (b"fill", "decode_crash", "OSError: [Errno 27] File too large"),
        (b"opencv", "decode_crash", "error: anything"),
    ],
)
def test_bad_decoder_costs_one_file(data: bytes, reason: str, detail: str) -> None:
    """A decoder that crashes, hangs, spins or takes all memory costs its file; the next one is decoded."""

    async def talk(decoders: Decoders) -> None:
        reject = await outcome(decoders, data)
        assert isinstance(reject, Reject)
        assert (reject.reason, reject.detail) == (reason, detail)
        assert isinstance(await outcome(decoders, b"good"), Finished)

    decoding(talk, settings(decoders=1, decode_timeout_s=1, decode_memory_mb=200), BAD)


def test_large_files_go_both_ways() -> None:
    """Files of many sizes, in turn, come and go whole; what a large one took is not kept."""

    async def talk(decoders: Decoders) -> None:
        random = np.random.default_rng(0)
        for side in (4, 1500, 40, 1600):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            image = await decoders.image(encoded(Image.fromarray(pixels), "BMP"))
            assert (rgb(image.data) == pixels).all()

    decoding(talk, settings(decoders=1, encode_format="png"))


def test_others_go_on_beside_a_hanging_file() -> None:
    """Two processes: one hangs, the other answers meanwhile."""

    async def talk(decoders: Decoders) -> float:
        hanging = asyncio.create_task(outcome(decoders, b"hang"))
        await asyncio.sleep(0)
        started = time.monotonic()
        for _ in range(20):
            assert isinstance(await outcome(decoders, b"good"), Finished)
        assert not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        return time.monotonic() - started

    decoding(talk, settings(decoders=2, decode_timeout_s=500), BAD)


def test_idle_child_that_died_is_replaced() -> None:
    """A process killed between two files costs none."""

    async def talk(decoders: Decoders) -> None:
        pid = await child_pid(decoders)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.5)  # until it is gone
        assert isinstance(await outcome(decoders, b"good"), Finished)
        assert await child_pid(decoders) != pid

    decoding(talk, command=BAD)


def test_fork_server_that_died_is_replaced() -> None:
    """A fork server killed between two files costs none, though its children go with it."""

    async def talk(decoders: Decoders) -> None:
        pid = await child_pid(decoders)
        (server,) = (server for server in children(os.getpid()) if pid in children(server))
        os.kill(server, signal.SIGKILL)
        await asyncio.sleep(0.5)  # until they are gone
        assert isinstance(await outcome(decoders, b"good"), Finished)
        assert await child_pid(decoders) != pid

    decoding(talk, command=BAD)


def test_no_more_processes_than_set() -> None:
    """However many files wait, so many processes decode."""

    async def talk(decoders: Decoders) -> None:
        rejects = await asyncio.gather(*(outcome(decoders, b"pid") for _ in range(50)))
        assert len({reject.detail for reject in rejects if isinstance(reject, Reject)}) == 2

    decoding(talk, settings(decoders=2), BAD)


def test_what_a_decoder_prints_is_no_answer() -> None:
    """Libraries that print do not disturb what parent and child say to each other."""
    assert isinstance(decoding(lambda decoders: outcome(decoders, b"print"), command=BAD), Finished)


def test_child_that_does_not_start_is_told() -> None:
    """It stops the run, with the command that shows why."""
    with pytest.raises(FatalError, match=r"does not start \(exit code 7\); to see why, run: .*no_child"):
        decoding(lambda decoders: decoders.image(b""), command=(sys.executable, "-c", "exit(7)  # no_child"))


def test_fork_server_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork server that never answers stops the run, too, and does not outlive it."""
    monkeypatch.setattr("stages.decoding.sandbox.START_TIMEOUT_S", 0.5)
    monkeypatch.setattr("stages.decoding.fork_server.ANSWER_TIMEOUT_S", 0.5)
    before = children(os.getpid())
    with pytest.raises(FatalError, match=r"does not start \(signal SIGKILL\); to see why, run: "):
        decoding(lambda decoders: decoders.image(b""), command=(sys.executable, "-c", "import time; time.sleep(900)"))
    assert children(os.getpid()) <= before


def test_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes its children along, also those that hang."""
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import asyncio
import contextlib
from stages.decoding.sandbox import Decoders
from stages.decoding.settings import ImageSettings

async def main():
    decoders = Decoders(ImageSettings(use="download", decoders=1, decode_timeout_s=900), {BAD!r})
    await decoders.image(b"good")
    hanging = asyncio.create_task(decoders.image(b"hang"))
    await asyncio.sleep(0.5)
    print("hangs", flush=True)
    await hanging

asyncio.run(main())
"""
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout
    assert parent.stdout.readline() == b"hangs\n"
    started = children(parent.pid) | forked(parent.pid)
    assert len(started) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in started):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hostile(kind: str) -> list[dict[str, Any]]:
    if not DATA.exists():
        return []
    lines = (DATA / "hostile" / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["file"].startswith(f"hostile/{kind}/")]


REASONS = {
    "empty", "not_an_image", "too_many_pixels", "decode_bomb", "truncated_image", "decode_error", "decode_crash",
    "decode_timeout", "decode_memory",
}


@needs_data
@pytest.mark.parametrize("image_size", [0, 64])
def test_hostile_images_give_a_picture_or_a_reason(image_size: int) -> None:
    """Nothing crashes, nothing takes much memory, each file has one outcome, and those that can be decoded are."""

    peaks_kb = [0]

    async def watch() -> None:
        while True:
            for child in forked():
                with contextlib.suppress(OSError):  # it has just ended
                    status = Path(f"/proc/{child}/status").read_text()
                    peaks_kb.extend(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            await asyncio.sleep(0.01)

    async def talk(decoders: Decoders) -> dict[str, Finished | Reject]:
        files = [row["file"] for row in hostile("images")]
        watching = asyncio.create_task(watch())
        results = await asyncio.gather(*(outcome(decoders, (DATA / file).read_bytes()) for file in files))
        watching.cancel()
        return dict(zip(files, results, strict=True))

    given = settings(decoders=2, image_size=image_size, encode_format="png", decode_timeout_s=30)
    results = decoding(talk, given)
    assert len(results) == 157
    rejected = {file: result for file, result in results.items() if isinstance(result, Reject)}
    assert {reject.reason for reject in rejected.values()} <= REASONS
    assert all(reject.detail for reject in rejected.values())
    readable = {row["file"] for row in hostile("images") if row["decodes"] is True}
    assert not readable & rejected.keys()
    bombs = {row["file"] for row in hostile("images") if row["decodes"] == "bomb"}
    assert bombs
    assert bombs <= rejected.keys()
    assert 0 < max(peaks_kb) < 1.5 * 2**20


@needs_data
def test_hostile_sounds_are_probed_or_have_a_reason() -> None:
    """Nothing crashes, and recordings that can be decoded are described."""

    async def talk(decoders: Decoders) -> None:
        for row in hostile("audio"):
            try:
                sound = await decoders.sound((DATA / row["file"]).read_bytes())
                found = "sound" if (sound.codec, sound.rate > 0, sound.channels > 0) == ("flac", True, True) else "odd"
            except Reject as reject:
                found = reject.reason
            assert found in ({"sound"} if row["decodes"] is True else {"sound", "not_audio", "audio_broken"}), row

    decoding(talk)
