"""The process that decoding processes are forked from: it has imported their libraries, so that each starts at once."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stages.decoding.protocol import END, ENDED, FORK, REQUEST

__all__ = ["ENVIRONMENT", "ForkServer", "fork_server"]

ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc would hand the memory of each picture back and fault it in again for the next.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
}
ANSWER_TIMEOUT_S: Final = 30.0
"""A server that says nothing for so long, though all it has to do is to end a process, hangs."""


class ForkServer:
    """A process that forks on demand. It ends when this one does, and takes all that it forked along.

    Args:
        command: what to start; it speaks ``stages.decoding.protocol`` over the socket that is its standard input.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._forked = 0
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(ANSWER_TIMEOUT_S)
        with theirs:
            path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
            )

    def lives(self) -> bool:
        """Tell whether the process has not ended."""
        return self._process.poll() is None

    def fork(self, files: Sequence[int]) -> int:
        """Have a process forked that gets these open files; return its number.

        Where the server has ended, nothing takes the files, and their other ends tell so.
        """
        with self._lock:
            self._forked += 1
            with contextlib.suppress(OSError):
                socket.send_fds(self._channel, [REQUEST.pack(FORK, self._forked)], files)
            return self._forked

    def end(self, number: int) -> str:
        """End a forked process if it lives; say how it ended, or else how the server did; one that hangs is ended."""
        with self._lock:
            try:
                self._channel.sendall(REQUEST.pack(END, number))
                told = self._channel.recv(ENDED.size, socket.MSG_WAITALL)
            except OSError:
                told = b""
            if told:
                return _ended(ENDED.unpack(told)[0])
            self._process.kill()
            return _ended(self._process.wait())


def fork_server(command: tuple[str, ...]) -> ForkServer:
    """Return this process's server of a command, started anew where there is none or it has ended."""
    server = _started(command, os.getpid())
    if not server.lives():
        _started.cache_clear()
        server = _started(command, os.getpid())
    return server


@functools.cache
def _started(command: tuple[str, ...], _owner: int) -> ForkServer:
    return ForkServer(command)


def _ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
