"""Decoding where it can hurt only itself: child processes with limits of time and memory.

A decoder that crashes, hangs or takes all memory costs one file, and a new child takes the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from schemas.errors import FatalError, Reject
from stages.decoding.finished import Finished, Sound
from stages.decoding.fork_server import ForkServer, fork_server
from stages.decoding.protocol import ANSWER, IMAGE, QUESTION, READY, SETTINGS, SOUND
from stages.decoding.settings import ImageSettings

__all__ = ["Decoders"]

COMMAND: Final = (sys.executable, "-m", "stages.decoding.child")
START_TIMEOUT_S: Final = 120.0
"""A child that has not imported its libraries by now never will."""
SHARED_BYTES: Final = 4 * 2**20
"""Memory that parent and child keep for the next file; what a larger one took is given back."""


class Decoders:
    """A pool of decoding processes, started as they are needed and used from one event loop.

    Args:
        settings: limits, sizes, and how many processes.
        command: the fork server to start in place of the real one.
    """

    def __init__(self, settings: ImageSettings, command: tuple[str, ...] = COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._free = asyncio.Semaphore(settings.decoders or os.cpu_count() or 1)
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()

    async def image(self, data: bytes) -> Finished:
        """Decode, resize and encode an image as ``stages.decoding.images.finish`` does.

        Raises:
            Reject: its reasons, and ``decode_crash``, ``decode_timeout`` or ``decode_memory``.
            FatalError: no child starts.
        """
        fields, body = await self._ask(IMAGE, data)
        return Finished(data=body or data, **fields)

    async def sound(self, data: bytes) -> Sound:
        """Probe a recording as ``stages.decoding.sound.probe`` does.

        Raises:
            Reject: its reasons, and ``decode_crash``, ``decode_timeout`` or ``decode_memory``.
            FatalError: no child starts.
        """
        fields, _ = await self._ask(SOUND, data)
        return Sound(**fields)

    async def close(self) -> None:
        """End all children, also those at work."""
        for child in tuple(self._children):
            self._end(child)
        self._idle.clear()

    async def _ask(self, kind: bytes, data: bytes) -> tuple[dict[str, Any], bytes]:
        async with self._free:
            child = await self._take()
            answered = False
            try:
                async with asyncio.timeout(self._settings.decode_timeout_s):
                    fields, body = await child.ask(kind, data)
                answered = True
            except TimeoutError as error:
                raise Reject("decode_timeout", f"no result after {self._settings.decode_timeout_s:g} s") from error
            except (OSError, ValueError) as error:
                raise Reject("decode_crash", self._end(child)) from error
            finally:
                if not answered or fields.get("reason") == "decode_memory":
                    self._end(child)
                else:
                    self._idle.append(child)
        if "reason" in fields:
            raise Reject(fields["reason"], fields["detail"])
        return fields, body

    async def _take(self) -> _Child:
        """Return an idle child that lives, or a new one."""
        while self._idle:
            child = self._idle.pop()
            if child.lives():
                return child
            self._end(child)
        child = _Child(fork_server(self._command))
        self._children.add(child)
        ready = False
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child.start(self._settings)
            ready = True
        except (TimeoutError, OSError) as error:
            raise FatalError(
                f"the decoding process does not start ({self._end(child)}); to see why, run: {' '.join(self._command)}"
            ) from error
        finally:
            if not ready:
                self._end(child)
        return child

    def _end(self, child: _Child) -> str:
        """End a child and say how it ended: by itself, or because of this."""
        self._children.discard(child)
        return child.end()


class _Child:
    """One process, the socket to it, and the file in memory that both read and write."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self._shared = _file_in_memory()
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self._number = server.fork([self._shared, theirs.fileno()])
        self._ending = ""

    async def start(self, settings: ImageSettings) -> None:
        """Wait until the child has set its limits. Raises OSError if it ends instead."""
        await self._send(SETTINGS, settings.model_dump_json(include=set(ImageSettings.model_fields)).encode())
        if await self._told(len(READY)) != READY:
            raise ConnectionError("the child said something else")

    async def ask(self, kind: bytes, data: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the answer's fields and bytes. Raises OSError if the child ends instead, ValueError if it babbles."""
        await self._send(kind, data)
        image, told = ANSWER.unpack(await self._told(ANSWER.size))
        body = os.pread(self._shared, image, 0)
        fields = json.loads(os.pread(self._shared, told, image))
        if max(len(data), image) > SHARED_BYTES:
            os.truncate(self._shared, 0)
        return fields, body

    async def _send(self, kind: bytes, data: bytes) -> None:
        os.pwrite(self._shared, data, 0)
        await asyncio.get_running_loop().sock_sendall(self._socket, QUESTION.pack(kind, len(data)))

    async def _told(self, length: int) -> bytes:
        told = b""
        while len(told) < length:
            more = await asyncio.get_running_loop().sock_recv(self._socket, length - len(told))
            if not more:
                raise ConnectionError("the child closed its output")
            told += more
        return told

    def lives(self) -> bool:
        """Tell whether the process has not ended."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> str:
        """End the process if it lives; say how it ended."""
        if not self._ending:
            self._socket.close()
            os.close(self._shared)
            self._ending = self._server.end(self._number)
        return self._ending


def _file_in_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("decoding")
    file, path = tempfile.mkstemp()
    Path(path).unlink()
    return file
