"""The processes that decode: one file at a time, within limits, and of no use to anyone who takes them over.

    python -m stages.decoding.child

imports the libraries once and is the fork server of ``stages.decoding.protocol``.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import AvifImagePlugin

from schemas.errors import Reject
from stages.decoding.images import finish
from stages.decoding.protocol import ANSWER, END, ENDED, IMAGE, QUESTION, READY, REQUEST
from stages.decoding.settings import ImageSettings
from stages.decoding.sound import probe

__all__ = ["main"]

PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h: the signal to get when the parent ends."""


def main() -> None:
    """Fork and end decoding processes until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    requests = _take_stdin()
    _warm_up()
    server = os.getpid()
    forked: dict[int, int] = {}
    while True:
        head, files, _, _ = socket.recv_fds(requests, REQUEST.size, 2)
        if not head:
            return
        kind, number = REQUEST.unpack(head)
        if kind == END:
            pid = forked.pop(number)
            os.kill(pid, signal.SIGKILL)
            requests.sendall(ENDED.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        elif pid := os.fork():
            forked[number] = pid
            for file in files:
                os.close(file)
        else:
            requests.close()
            _decode(server, *files)


def _take_stdin() -> socket.socket:
    """Take the socket away from libraries that read."""
    requests = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    return requests


def _decode(server: int, shared: int, channel: int) -> None:
    """Be a decoding process: answer questions until there are no more."""
    code = 1
    try:
        _end_with(server)
        _answer_all(shared, socket.socket(fileno=channel))
        code = 0
    finally:
        os._exit(code)


def _answer_all(shared: int, channel: socket.socket) -> None:
    _, length = QUESTION.unpack(channel.recv(QUESTION.size, socket.MSG_WAITALL))
    settings = ImageSettings.model_validate_json(os.pread(shared, length, 0))
    _limit(settings)
    channel.sendall(READY)
    while head := channel.recv(QUESTION.size, socket.MSG_WAITALL):
        kind, length = QUESTION.unpack(head)
        fields, body = _answer(kind, os.pread(shared, length, 0), settings)
        told = json.dumps(fields).encode()
        os.pwrite(shared, body + told, 0)
        channel.sendall(ANSWER.pack(len(body), len(told)))
        if fields.get("reason") == "decode_memory":
            break  # what is left of the heap is not worth another file


def _end_with(server: int) -> None:
    """Have the kernel end this process when the fork server goes, in the middle of a file too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)


def _warm_up() -> None:
    """Use each library once, so that what it needs to run at all takes no time later and counts as no file's memory."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    sample = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    finish(sample, ImageSettings(use="download", image_size=32))


def _limit(settings: ImageSettings) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = used + settings.decode_memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # the shared file is memory too


def _answer(kind: bytes, data: bytes, settings: ImageSettings) -> tuple[dict[str, Any], bytes]:
    try:
        if kind != IMAGE:
            return dataclasses.asdict(probe(data)), b""
        image = finish(data, settings)
    except Reject as reject:
        return {"reason": reject.reason, "detail": reject.detail}, b""
    except MemoryError:
        return {"reason": "decode_memory", "detail": f"more than {settings.decode_memory_mb} MB"}, b""
    except Exception as error:  # a decoder that fails in a way nobody foresaw costs one row
        return {"reason": "decode_crash", "detail": f"{type(error).__name__}: {error}"}, b""
    fields = {field.name: getattr(image, field.name) for field in dataclasses.fields(image) if field.name != "data"}
    return fields, b"" if image.data is data else image.data


if __name__ == "__main__":
    main()
