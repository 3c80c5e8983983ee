"""Limits that all processes of one machine keep together, by locked files in its temporary folder."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import random
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final, Literal

from schemas.errors import FatalError

__all__ = ["MachineLimits"]

NAMES: Final = 1 << 14
"""Hosts share so many files: two that share one share their limits, which is stricter, never laxer."""
TIME: Final = struct.Struct("<d")
LOOK_AGAIN_S: Final = 0.05
"""How often a lock that another process holds is looked for."""


class MachineLimits:
    """A token bucket and connection slots per host.

    A lock goes with its process, however that ends; so nothing has to be cleaned up after a kill.

    Args:
        longest_wait_s: a bucket that says to wait longer was left by a clock that went wrong, and is emptied.
    """

    def __init__(self, longest_wait_s: float) -> None:
        self.longest_wait_s = longest_wait_s
        self.folder = Path(tempfile.gettempdir()) / f"showtell-{os.getuid()}" / "hosts"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_uid != os.getuid():
            raise FatalError(f"{self.folder} belongs to another user; per-host limits need a folder of their own")

    def take_slot(self, host: str, slots: int) -> IO[bytes] | None:
        """Return a file whose closing gives the connection slot back; None while all are taken."""
        for slot in range(slots):
            if file := self._locked(host, f".{slot}"):
                return file
        return None

    @asynccontextmanager
    async def alone(self, what: Literal["url", "site"], name: str) -> AsyncIterator[None]:
        """Wait until no other process of this machine is in a block of the same ``what`` and name.

        Who is alone with a URL may go on to be alone with a site, and then take a slot, but not the other way round.
        """
        while (file := self._locked(name, f".{what}")) is None:
            await asyncio.sleep(LOOK_AGAIN_S * random.uniform(0.5, 1.5))
        with file:
            yield

    def take_token(self, host: str, per_s: float, burst: float) -> float:
        """Take a token and return the seconds to wait before it may be used.

        The bucket is kept as the time at which it will be full again (the generic cell rate algorithm).

        Args:
            per_s: tokens a second; 0: no limit but ``pause``.
            burst: tokens in a full bucket.
        """
        interval_s = 1 / per_s if per_s else 0.0
        with self._open(host, "") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            now = time.time()
            full_at = max(_read(file, now + self.longest_wait_s + burst * interval_s), now)
            _write(file, full_at + interval_s)
        return max(0.0, full_at - max(0.0, burst - 1) * interval_s - now)

    def pause(self, host: str, seconds: float, per_s: float, burst: float) -> None:
        """Let nobody have a token for so long."""
        interval_s = 1 / per_s if per_s else 0.0
        with self._open(host, "") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            now = time.time()
            _write(file, max(_read(file, now + self.longest_wait_s), now + seconds + max(0.0, burst - 1) * interval_s))

    def _locked(self, name: str, kind: str) -> IO[bytes] | None:
        """Return a file that is locked until it is closed; None while somebody else has it."""
        file = self._open(name, kind)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _open(self, host: str, kind: str) -> IO[bytes]:
        name = int.from_bytes(hashlib.sha256(host.encode()).digest()[:4], "big") % NAMES
        return open(os.open(self.folder / f"{name:05d}{kind}", os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)


def _read(file: IO[bytes], latest: float) -> float:
    data = file.read(TIME.size)
    full_at: float = TIME.unpack(data)[0] if len(data) == TIME.size else 0.0
    return full_at if full_at <= latest else 0.0


def _write(file: IO[bytes], full_at: float) -> None:
    file.seek(0)
    file.write(TIME.pack(full_at))
