"""What the pool, the fork server and the decoding processes say to each other.

The fork server's standard input is a socket. ``REQUEST`` (``FORK``, number) comes with two open files and makes a
decoding process of that number; ``REQUEST`` (``END``, number) kills it where it lives, and is answered by ``ENDED``
(exit code, or minus the signal).

A decoding process has the two files: one in memory that both sides read and write, so that no picture has to go through
a socket, and a socket. The pool writes to the memory's start and sends ``QUESTION`` (kind, length), first for the
settings, a JSON object, which the process answers with ``READY``, then for each file. The process writes there the
finished image, nothing where it is the very bytes that were asked about, and behind it a JSON object, the fields of
the result or ``reason`` and ``detail``; then it sends ``ANSWER`` (length of the image, of the object).
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["ANSWER", "END", "ENDED", "FORK", "IMAGE", "QUESTION", "READY", "REQUEST", "SETTINGS", "SOUND"]

REQUEST: Final = struct.Struct("<cI")
FORK: Final = b"f"
END: Final = b"e"
ENDED: Final = struct.Struct("<i")

QUESTION: Final = struct.Struct("<cI")
SETTINGS: Final = b"="
IMAGE: Final = b"i"
SOUND: Final = b"s"
READY: Final = b"ready"
ANSWER: Final = struct.Struct("<II")
