"""What parent and child say to each other.

The child's standard output is a socket; its standard input is a file in memory that both read and write, so that no
picture has to go through the socket. The parent writes a file to its start and sends ``QUESTION`` (kind, length). The
child writes there the finished image, nothing where it is the very bytes that were asked about, and behind it a JSON
object, the fields of the result or ``reason`` and ``detail``; then it sends ``ANSWER`` (length of the image, of the
object). A child that is ready for questions says ``READY`` first.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["ANSWER", "IMAGE", "QUESTION", "READY", "SOUND"]

QUESTION: Final = struct.Struct("<cI")
ANSWER: Final = struct.Struct("<II")
READY: Final = b"ready"
IMAGE: Final = b"i"
SOUND: Final = b"s"
